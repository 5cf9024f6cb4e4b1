from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_pipeline import pipeline_registry
from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.config import Project

MODEL = {"recipe": "classifier", "targets": {"runtimes": ["onnx"], "precisions": ["float"]}}
BASE = {"models": {"one": MODEL, "two": {**MODEL, "default": True}}, "devices": {"host": {"kind": "host"}}}
Read = Callable[..., Project]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Return a function that reads a conf folder with `base`, `local` and the environments given."""
    monkeypatch.setattr(pipeline_registry, "_session", {})

    def run(env: str | None = None, parameters: Any = None, **environments: dict[str, Any]) -> Project:
        for name, files in {"base": BASE, "local": {}, **environments}.items():
            (tmp_path / "conf" / name).mkdir(parents=True)
            for file, content in files.items():
                text = content if isinstance(content, str) else yaml.safe_dump(content)
                (tmp_path / "conf" / name / f"{file}.yml").write_text(text)
        return pipeline_registry.use_session(tmp_path, str(tmp_path / "conf"), env, parameters or {})

    return run


def test_there_is_a_pipeline_for_each_model_and_one_of_the_default_models(read: Read) -> None:
    read()
    found = pipeline_registry.register_pipelines()
    assert set(found) == {"one", "two", "__default__"}
    assert {node.name for node in found["__default__"].nodes} == {node.name for node in found["two"].nodes}


def test_an_environment_replaces_what_base_says(read: Read) -> None:
    found = read("ci", ci={"models": {"one": {"recipe": "classifier", "classes": 3}}})
    assert found.models["one"].classes == 3


def test_an_environment_that_has_no_folder_is_refused_with_the_closest_name(read: Read) -> None:
    with pytest.raises(ConfigError, match=r"the environment 'prd' has no folder .*did you mean 'prod'\?"):
        read("prd", prod={})


def test_parameters_of_the_session_are_used(read: Read) -> None:
    found = read(parameters={"one": {"finetune": {"epochs": 2}}})
    assert found.parameters["one"].finetune.epochs == 2


def test_a_file_that_is_no_yaml_is_refused_by_name(read: Read) -> None:
    with pytest.raises(ConfigError, match=r"models\.yml: "):
        read(base={"models": "one: [", "devices": BASE["devices"]})


def test_without_configuration_there_are_no_models(read: Read) -> None:
    assert read(base={}).models == {}


def test_pipelines_of_another_project_stand_beside_those_of_its_models(read: Read) -> None:
    from kedro.pipeline import Pipeline, node

    read()
    mine = Pipeline([node(lambda: 1, None, "x", name="mine")])
    found = pipeline_registry.with_edge_pipelines(lambda: {"__default__": mine, "mine": mine})()
    assert set(found) == {"mine", "one", "two", "__default__"}
    assert {"mine", "two.finetune"} <= {one.name for one in found["__default__"].nodes}


def test_a_pipeline_of_the_name_of_a_model_is_refused(read: Read) -> None:
    from kedro.pipeline import Pipeline

    read()
    with pytest.raises(ConfigError, match="the project already has a pipeline named 'one'"):
        pipeline_registry.with_edge_pipelines(lambda: {"one": Pipeline([])})()
