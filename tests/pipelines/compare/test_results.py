"""What is on disk of a model, and what counts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.pipelines.compare.results import TargetResults, read

HOST = Target("digits", "host", RuntimeName.ONNX, Precision.W8A8)
BOARD = Target("digits", "board", RuntimeName.ONNX, Precision.W8A8)


@pytest.fixture
def save(
    default_catalog: Any,
    weights: Artifact,
    exported: dict[Precision, Artifact],
    onnx_compiled: dict[Precision, Artifact],
    validated: dict[Precision, tuple[Validation, Artifact]],
    make_profile: Callable[..., Profile],
) -> Callable[..., None]:
    """Return a function that saves all that a run leaves of a w8a8 target, or something else in place of it."""

    def run(target: Target, **instead: Any) -> None:
        validation, predictions = validated[Precision.W8A8]
        profile = replace(make_profile(target), lineage=validation.lineage, device={"kind": "ssh"})
        made = {
            "compiled": onnx_compiled[Precision.W8A8],
            "profile": profile,
            "validation": replace(validation, target=target.name),
            "predictions": predictions,
            **instead,
        }
        default_catalog.save("digits.weights", weights)
        default_catalog.save("digits.w8a8.exported", exported[Precision.W8A8])
        for kind, one in made.items():
            if one is not None:
                default_catalog.save(f"digits.{target.slug}.{kind}", one)

    return run


def reading(catalog: Any, *targets: Target, **kinds: str) -> list[TargetResults]:
    return read(catalog, "digits", targets, kinds)


def test_everything_that_was_made_from_what_is_there_counts(default_catalog: Any, save: Callable[..., None]) -> None:
    save(HOST)
    (one,) = reading(default_catalog, HOST, host="host")
    assert (one.target, one.kind, one.problems, one.measured) == (HOST, "host", (), True)
    assert [type(result) for result in one.results] == [Profile, Validation]
    assert one.predictions is not None


def test_a_target_of_another_environment_is_found_with_its_kind(
    default_catalog: Any, save: Callable[..., None]
) -> None:
    save(HOST)
    save(BOARD)
    found = reading(default_catalog, HOST, host="host")
    assert [(one.target, one.kind) for one in found] == [(HOST, "host"), (BOARD, "ssh")]
    assert found[1].measured


def test_folders_that_hold_no_results_of_a_target_are_passed_over(
    default_catalog: Any, save: Callable[..., None], tmp_path: Any
) -> None:
    save(HOST)
    folder = tmp_path / "data" / "08_reporting" / "digits"
    (folder / "board-onnx-w8a8").mkdir()
    (folder / "w8a8" / "sensitivity").mkdir(parents=True)
    for name in ("board-onnx-w9a9", "board-torch-float", "a-b-c-d"):
        (folder / name).mkdir()
        (folder / name / "profile.json").write_text("{}")
    assert [one.target for one in reading(default_catalog, HOST)] == [HOST]


@pytest.mark.parametrize("parent", ["weights", "exported", "compiled"])
def test_results_of_older_artifacts_do_not_count(default_catalog: Any, save: Callable[..., None], parent: str) -> None:
    save(HOST)
    name = {"weights": "digits.weights", "exported": "digits.w8a8.exported"}.get(parent, f"digits.{HOST.slug}.compiled")
    newer = default_catalog.load(name)
    default_catalog.save(name, replace(newer, details={**newer.details, "newer": True}))
    (one,) = reading(default_catalog, HOST)
    assert (one.results, one.predictions, one.measured) == ((), None, False)
    (problem,) = one.problems
    assert problem.startswith("profile, validation, predictions: outdated, there is a newer ")
    assert f"a newer {parent} artifact" in problem


def test_results_whose_artifacts_are_gone_do_not_count(default_catalog: Any, save: Callable[..., None]) -> None:
    save(HOST)
    default_catalog.get("digits.weights").discard()
    (one,) = reading(default_catalog, HOST)
    assert not one.measured
    assert "the weights artifact it was made from is not on disk any more" in one.problems[0]


def test_what_was_never_measured_is_told(default_catalog: Any, save: Callable[..., None]) -> None:
    save(HOST, profile=None)
    one, never = reading(default_catalog, HOST, BOARD)
    assert ([type(result) for result in one.results], one.problems) == ([Validation], ("profile: not measured yet",))
    assert (never.results, never.problems) == ((), ("profile, validation, predictions: not measured yet",))


def test_a_failure_takes_the_place_of_a_result(default_catalog: Any, save: Callable[..., None]) -> None:
    failure = Failure("profile", HOST.name, "too slow")
    save(HOST, profile=failure)
    (one,) = reading(default_catalog, HOST)
    assert one.results[0] == failure
    assert isinstance(one.results[1], Validation)
    assert one.problems == ()


def test_a_target_of_which_all_failed_is_not_measured(default_catalog: Any, save: Callable[..., None]) -> None:
    failure = Failure("compile", HOST.name, "it broke")
    save(HOST, compiled=failure, profile=failure, validation=failure, predictions=failure)
    (one,) = reading(default_catalog, HOST)
    assert (one.results, one.predictions, one.measured) == ((failure, failure), None, False)


def test_damaged_results_are_told(default_catalog: Any, save: Callable[..., None], tmp_path: Any) -> None:
    save(HOST)
    place = tmp_path / "data" / "08_reporting" / "digits" / HOST.slug
    (place / "validation.json").write_text("{")
    (place / "predictions" / "outputs.npz").write_bytes(b"changed")
    (one,) = reading(default_catalog, HOST)
    assert [type(result) for result in one.results] == [Profile]
    assert one.predictions is None
    assert ["is damaged" in problem for problem in one.problems] == [True, True]


def test_predictions_without_outputs_cannot_be_compared(
    default_catalog: Any, save: Callable[..., None], validated: dict[Precision, tuple[Validation, Artifact]]
) -> None:
    _, predictions = validated[Precision.W8A8]
    save(HOST, predictions=replace(predictions, files={"predictions.png": b"drawn"}))
    (one,) = reading(default_catalog, HOST)
    assert (one.measured, one.predictions) == (True, None)
    assert one.problems == ("predictions: no outputs are kept in them; `kedro run --tags validate` makes them again",)
