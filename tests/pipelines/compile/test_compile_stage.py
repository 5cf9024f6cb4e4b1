from dataclasses import replace
from pathlib import Path

from edge_pipeline.core.types import Artifact, Failure, Precision, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.compile.parameters import CompileParameters


def stage(exported: Artifact | Failure, target: Target) -> Artifact | Failure:
    host = DeviceSpec(kind="host")
    return compile(exported, Path("unused"), CompileParameters(), target=target, device=host, subject=target.name)


def test_the_runtime_of_the_target_makes_the_artifact(exported: dict[Precision, Artifact], target: Target) -> None:
    found = stage(exported[Precision.FLOAT], target)
    assert isinstance(found, Artifact)
    assert found.details["runtime"] == "onnx"
    assert found.parents["exported"] == exported[Precision.FLOAT].hash


def test_a_model_that_the_runtime_refuses_is_a_failure_of_its_target(
    exported: dict[Precision, Artifact], target: Target
) -> None:
    whole = exported[Precision.FLOAT]
    found = stage(replace(whole, files={**whole.files, "model.onnx": b"no model"}), target)
    assert isinstance(found, Failure)
    assert (found.stage, found.subject, found.traceback) == ("compile", target.name, "")
    assert "ONNX Runtime refuses the model" in found.message


def test_an_export_that_failed_is_passed_on(target: Target) -> None:
    failure = Failure("export", "digits/float", "it broke")
    assert stage(failure, target) is failure
