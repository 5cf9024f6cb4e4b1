import inspect

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.pipelines.wiring import bind, stage_node

INPUTS = ["values", "params:factor"]


def scale(values: list[int], factor: int, *, subject: str) -> list[int]:
    """Multiply."""
    return [value * factor for value in values]


def test_a_bound_function_has_the_rest_of_the_signature_and_its_name() -> None:
    bound = bind(scale, subject="x")
    assert list(inspect.signature(bound).parameters) == ["values", "factor"]
    assert inspect.signature(bound).return_annotation == list[int]
    assert (bound.__name__, bound.__doc__) == ("scale", "Multiply.")


def test_a_bound_function_is_called_with_what_was_fixed() -> None:
    assert bind(scale, subject="x")([1, 2], 3) == [3, 6]


def test_binding_leaves_the_function_as_it_was() -> None:
    bind(scale, subject="x")
    assert list(inspect.signature(scale).parameters) == ["values", "factor", "subject"]


def test_a_stage_reads_and_writes_under_the_name_of_its_model(target: Target) -> None:
    node = stage_node("digits", "w8a8.scale", bind(scale, subject="x"), INPUTS, ["scaled"], [target])
    assert node.inputs == ["digits.values", "params:digits.factor"]
    assert node.outputs == ["digits.scaled"]
    assert node.name == "digits.w8a8.scale"
    assert node.namespace == "digits.w8a8"


def test_the_tags_are_those_of_all_targets_that_need_the_stage() -> None:
    targets = [Target("digits", "rb3", RuntimeName.ONNX, precision) for precision in (Precision.FLOAT, Precision.W8A8)]
    node = stage_node("digits", "scale", bind(scale, subject="x"), INPUTS, ["scaled"], targets)
    assert node.tags == {"scale", "rb3", "onnx", "float", "w8a8"}


def test_kedro_runs_a_stage(target: Target) -> None:
    node = stage_node("digits", "scale", bind(scale, subject="x"), INPUTS, ["scaled"], [target])
    catalog = DataCatalog({"digits.values": MemoryDataset([1, 2]), "params:digits.factor": MemoryDataset(5)})
    found = SequentialRunner().run(Pipeline([node]), catalog)
    assert found["digits.scaled"].load() == [5, 10]
