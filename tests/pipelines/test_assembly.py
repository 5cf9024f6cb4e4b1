from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline import Pipeline

from edge_pipeline.pipelines.assemble import pipelines
from edge_pipeline.pipelines.config import parse

TARGETS = [f"host-{runtime}-{precision}" for runtime in ("onnx", "tflite") for precision in ("float", "w8a8")]


def assemble(configuration: dict[str, Any]) -> dict[str, Pipeline]:
    return pipelines(parse(Path("/project"), **configuration))


@pytest.fixture
def pipeline(default_configuration: dict[str, Any]) -> Pipeline:
    return assemble(default_configuration)["digits"]


def names(pipeline: Pipeline) -> set[str]:
    return {node.name for node in pipeline.nodes}


def test_every_stage_is_there_once_for_what_it_belongs_to(pipeline: Pipeline) -> None:
    per_model = {"digits.split", "digits.finetune", "digits.scorecard"}
    per_precision = {"digits.w8a8.quantize", "digits.w8a8.export", "digits.float.export"}
    per_target = {f"digits.{target}.{stage}" for target in TARGETS for stage in ("compile", "profile", "validate")}
    assert names(pipeline) == per_model | per_precision | per_target
    assert len(pipeline.nodes) == 18


FOLDERS = {"digits.checkpoints", "digits.w8a8.ladder", "digits.compilations"}
"""Where stages keep files of their own."""


def test_everything_is_made_from_parameters_and_folders_alone(pipeline: Pipeline) -> None:
    stages = ("split", "finetune", "quantize", "export", "compile", "profile", "validate")
    assert pipeline.inputs() == {*FOLDERS, *(f"params:digits.{stage}" for stage in stages)}


def test_the_results_are_the_tables_and_figures_of_the_model_and_of_each_target(pipeline: Pipeline) -> None:
    drawn = {f"digits.{target}.predictions" for target in TARGETS}
    assert pipeline.outputs() == {"digits.scorecard", "digits.quality", "digits.latency", "digits.placement"} | drawn


def test_every_result_is_under_the_name_of_its_model_and_target(pipeline: Pipeline) -> None:
    kinds = ("compiled", "profile", "validation")
    expected = {f"digits.{target}.{kind}" for target in TARGETS for kind in kinds}
    expected |= {"digits.split", "digits.weights", "digits.w8a8.simulation"}
    expected |= {"digits.float.exported", "digits.w8a8.exported"}
    assert pipeline.all_outputs() - pipeline.outputs() == expected


def test_nodes_are_in_the_namespace_of_what_they_belong_to(pipeline: Pipeline) -> None:
    found = {node.name: node.namespace for node in pipeline.nodes}
    assert found["digits.finetune"] == "digits"
    assert found["digits.w8a8.quantize"] == "digits.w8a8"
    assert found["digits.host-onnx-w8a8.profile"] == "digits.host-onnx-w8a8"


@pytest.mark.parametrize(
    ("node", "tags"),
    [
        ("digits.host-onnx-w8a8.profile", {"profile", "host", "onnx", "w8a8"}),
        ("digits.float.export", {"export", "host", "onnx", "tflite", "float"}),
        ("digits.split", {"split", "host", "onnx", "tflite", "float", "w8a8"}),
    ],
)
def test_tags_name_the_stage_and_everything_that_needs_it(pipeline: Pipeline, node: str, tags: set[str]) -> None:
    (found,) = pipeline.only_nodes(node).nodes
    assert found.tags == tags | {"digits", "classification"}


def test_a_precision_as_a_tag_runs_all_it_needs_and_no_other_precision(pipeline: Pipeline) -> None:
    found = names(pipeline.only_nodes_with_tags("w8a8"))
    assert found >= {"digits.split", "digits.finetune", "digits.w8a8.quantize", "digits.w8a8.export"}
    targets = {name.split(".")[1] for name in found if name.count(".") == 2}
    assert targets == {"w8a8", "host-onnx-w8a8", "host-tflite-w8a8"}


@pytest.mark.parametrize("tag", ["onnx", "tflite", "float", "w8a8", "host"])
def test_what_a_tag_runs_can_be_run_from_nothing(pipeline: Pipeline, tag: str) -> None:
    part = pipeline.only_nodes_with_tags(tag)
    scorecards = {name for name in part.inputs() if name.endswith((".profile", ".validation"))}
    assert {one for one in part.inputs() - scorecards if not one.startswith("params:")} <= FOLDERS


def test_a_stage_as_a_tag_runs_that_stage_of_all_targets(pipeline: Pipeline) -> None:
    assert names(pipeline.only_nodes_with_tags("profile")) == {f"digits.{target}.profile" for target in TARGETS}


def test_the_default_pipeline_holds_the_default_models_only(default_configuration: dict[str, Any]) -> None:
    models = {
        "digits": default_configuration["models"]["digits"],
        "second": {"recipe": "classifier", "default": True},
        "third": {"recipe": "classifier"},
    }
    found = assemble({**default_configuration, "models": models})
    assert set(found) == {"__default__", *models, *(f"{model}.sensitivity" for model in models)}
    assert names(found["__default__"]) == names(found["digits"]) | names(found["second"])


def test_models_share_no_node_and_no_result(default_configuration: dict[str, Any]) -> None:
    models = {"one": {"recipe": "classifier"}, "two": {"recipe": "classifier"}}
    found = assemble({**default_configuration, "models": models, "parameters": {}})
    assert not found["one"].all_outputs() & found["two"].all_outputs()
    assert all(name.startswith("one.") for name in names(found["one"]))


def test_without_default_models_the_default_pipeline_is_empty(default_configuration: dict[str, Any]) -> None:
    found = assemble({**default_configuration, "models": {"one": {"recipe": "classifier"}}, "parameters": {}})
    assert found["__default__"].nodes == []


def test_a_float_model_is_not_quantized(default_configuration: dict[str, Any]) -> None:
    targets = {"runtimes": ["onnx"], "precisions": ["float"]}
    found = assemble({**default_configuration, "models": {"digits": {"recipe": "classifier", "targets": targets}}})
    assert not any("quantize" in name for name in names(found["digits"]))
    assert len(found["digits"].nodes) == 7
