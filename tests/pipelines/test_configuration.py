import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import Precision
from edge_pipeline.pipelines.config import Project, parse

ROOT = Path("/project")
MODEL = {"recipe": "classifier"}
HOST = {"host": {"kind": "host"}}


def project(
    models: Mapping[str, Any] | None = None,
    devices: Mapping[str, Any] = HOST,
    parameters: Mapping[str, Any] | None = None,
    tracking: Mapping[str, Any] | None = None,
) -> Project:
    return parse(ROOT, {"digits": MODEL} if models is None else models, devices, parameters or {}, tracking or {})


def problems(**content: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        project(**content)
    return raised.value.problems


def model(**changes: Any) -> dict[str, Any]:
    return {"digits": {**MODEL, **changes}}


def parameters(**stages: Any) -> dict[str, Any]:
    return {"digits": stages}


def test_the_ready_project_is_right(default_configuration: dict[str, Any]) -> None:
    found = parse(ROOT, **default_configuration)
    assert list(found.models) == list(found.parameters) == ["digits"]
    assert found.models["digits"].default


def test_what_is_not_said_has_its_default() -> None:
    found = project()
    assert found.parameters["digits"].finetune.epochs == 40
    assert found.tracking.experiment == "edge-pipeline"


def test_what_is_said_counts() -> None:
    stages = parameters(finetune={"epochs": 3}, validate={"threads": 2}, profile={"min_seconds": 4})
    found = project(parameters=stages, tracking={"experiment": "x", "tracking_uri": "http://y"})
    typed = found.parameters["digits"]
    assert (typed.finetune.epochs, typed.validate_.threads, typed.profile.min_seconds) == (3, 2, 4.0)
    assert (found.tracking.experiment, found.tracking.tracking_uri) == ("x", "http://y")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"recipe": "clasifier"}, ".recipe: 'clasifier' is not known; did you mean 'classifier'?"),
        ({"clases": 3}, ": unknown key 'clases'; did you mean 'classes'?"),
        ({"targets": {"runtime": ["onnx"]}}, ".targets: unknown key 'runtime'; did you mean 'runtimes'?"),
        ({"targets": {"runtimes": ["onx"]}}, ".targets.runtimes.0: 'onx' is not known; did you mean 'onnx'?"),
        (
            {"targets": {"precisions": ["float", "int4"]}},
            ".targets.precisions.1: 'int4' is not known; valid names: float, float16, mixed, w4a16, w4a8, w8a16, w8a8",
        ),
        (
            {"targets": {"devices": ["hots"]}},
            ".targets.devices: no device 'hots' in devices.yml; did you mean 'host'?",
        ),
        ({"dataset": {"type": "folder"}}, ".dataset.type: 'folder' is not known; did you mean 'image_folder'?"),
        (
            {"dataset": {"type": "image_folder", "path": "x", "pth": True}},
            ".dataset: unknown key 'pth'; did you mean 'path'?",
        ),
    ],
    ids=str,
)
def test_a_mistake_in_a_model_is_named_with_its_place_and_a_hint(changes: dict[str, Any], expected: str) -> None:
    assert problems(models=model(**changes)) == (f"models.yml: digits{expected}",)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ({"finetun": {}}, ": unknown key 'finetun'; did you mean 'finetune'?"),
        ({"validat": {}}, ": unknown key 'validat'; did you mean 'validate'?"),
        ({"finetune": {"epoch": 1}}, ".finetune: unknown key 'epoch'; did you mean 'epochs'?"),
        (
            {"finetune": {"augment": {"rotate": 1}}},
            ".finetune.augment: unknown key 'rotate'; did you mean 'rotate_degrees'?",
        ),
        ({"validate": {"theads": 1}}, ".validate: unknown key 'theads'; did you mean 'threads'?"),
        ({"quantize": {"scheme": "minmax"}}, ".quantize.scheme: 'minmax' is not known; did you mean 'min_max'?"),
        ({"finetune": {"epochs": 0}}, ".finetune.epochs: input should be greater than or equal to 1 (given: 0)"),
    ],
    ids=str,
)
def test_a_mistake_in_the_parameters_is_named_with_its_place_and_a_hint(stages: dict[str, Any], expected: str) -> None:
    assert problems(parameters=parameters(**stages)) == (f"parameters: digits{expected}",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"models": {"digits": {}}}, "models.yml: digits: the key 'recipe' is missing"),
        (
            {"models": {"my-model": MODEL}},
            "models.yml: 'my-model' is not a usable name: a letter, then letters, digits and _ only",
        ),
        (
            {"devices": {**HOST, "a b": {"kind": "host"}}},
            "devices.yml: 'a b' is not a usable name: a letter, then letters, digits and _ only",
        ),
        ({"devices": {"host": {"kind": "hots"}}}, "devices.yml: host.kind: 'hots' is not known; did you mean 'host'?"),
        (
            {"devices": {}},
            "models.yml: digits.targets.devices: no device 'host' in devices.yml; no names are defined",
        ),
        ({"parameters": {"digit": {}}}, "parameters: no model 'digit' in models.yml; did you mean 'digits'?"),
        ({"tracking": {"experimet": "x"}}, "mlflow.yml: unknown key 'experimet'; did you mean 'experiment'?"),
    ],
    ids=str,
)
def test_any_other_mistake_is_named_with_its_place_and_a_hint(content: dict[str, Any], expected: str) -> None:
    assert problems(**content) == (expected,)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    (found,) = problems(parameters=parameters(split={"validation": 0.5, "test": 0.46}))
    assert found.startswith("parameters: digits.split: validation and test together leave less than 5%")


def test_an_entry_named_twice_is_refused() -> None:
    (found,) = problems(models=model(targets={"devices": ["host", "host"]}))
    assert found.startswith("models.yml: digits.targets.devices: names an entry twice")


def test_an_empty_list_of_targets_is_refused() -> None:
    (found,) = problems(models=model(targets={"devices": []}))
    assert found.startswith("models.yml: digits.targets.devices: ")


@pytest.mark.parametrize("entry", [None, "classifier", []])
def test_an_entry_of_the_wrong_shape_is_refused(entry: Any) -> None:
    assert any(one.startswith("models.yml: digits: ") for one in problems(models={"digits": entry}))


def test_all_problems_of_all_files_are_told_at_once() -> None:
    other = {"recipe": "classifier", "targets": {"devices": ["hots"]}}
    found = problems(
        models={**model(classes=1, clases=3), "other": other},
        devices={**HOST, "board": {"kind": "hots"}},
        parameters=parameters(finetune={"epoch": 1}, profile={"min_inferences": 5}),
        tracking={"experimet": "x"},
    )
    files = Counter(one.partition(":")[0] for one in found)
    assert files == {"models.yml": 3, "devices.yml": 1, "parameters": 2, "mlflow.yml": 1}


def test_other_parameters_of_the_project_are_left_alone() -> None:
    project(parameters={"digits": {}, "companies": {"rate": 3}, "seed": 1})


def test_no_models_at_all_are_no_mistake() -> None:
    assert project(models={}, devices={}).models == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("data/images", str(ROOT / "data/images")), ("/elsewhere/images", "/elsewhere/images"), ("s3://a/b", "s3://a/b")],
)
def test_a_relative_dataset_path_starts_at_the_root(path: str, expected: str) -> None:
    found = project(models=model(dataset={"type": "image_folder", "path": path}))
    assert found.models["digits"].dataset.path == expected  # type: ignore[union-attr]


def test_a_relative_checkpoint_starts_at_the_root() -> None:
    found = project(parameters=parameters(finetune={"checkpoint": "start.pt"}))
    assert found.parameters["digits"].finetune.checkpoint == ROOT / "start.pt"


def test_filled_in_parameters_are_right_when_read_again() -> None:
    """The hook hands them to Kedro, and Kedro to the nodes."""
    before = project(parameters=parameters(finetune={"epochs": 3}, validate={"threads": 2}))
    filled = {name: one.model_dump(mode="json", by_alias=True) for name, one in before.parameters.items()}
    assert project(parameters=filled).parameters == before.parameters


def test_targets_can_be_narrowed() -> None:
    found = project(models=model(targets={"runtimes": ["tflite"], "precisions": [Precision.W8A8.value]}))
    assert [target.name for target in found.models["digits"].expand("digits")] == ["digits@host/tflite/w8a8"]


@pytest.mark.parametrize(
    "content",
    [{"models": {5: MODEL}}, {"devices": {**HOST, 5: {"kind": "host"}}}, {"parameters": {3: {}}}, {"models": [MODEL]}],
    ids=str,
)
def test_what_yaml_reads_as_something_else_is_a_mistake_or_left_alone(content: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigError):
        project(**content)


def test_a_model_of_the_name_of_the_default_pipeline_is_refused() -> None:
    with pytest.raises(ConfigError):
        project(models={"__default__": MODEL})
