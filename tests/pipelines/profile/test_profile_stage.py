from dataclasses import replace
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Precision, Profile, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.pipelines.profile.nodes import profile


def stage(exported: Artifact, compiled: Artifact, target: Target, **settings: Any) -> Profile | Failure:
    device = DeviceSpec(kind="host")
    return profile(exported, compiled, ProfileSettings(**settings), device=device, target=target, subject=target.name)


@pytest.mark.slow
def test_the_artifact_is_measured_on_the_device(
    exported: dict[Precision, Artifact], onnx_compiled: dict[Precision, Artifact], target: Target
) -> None:
    compiled = onnx_compiled[Precision.FLOAT]
    found = stage(exported[Precision.FLOAT], compiled, target, warmup=1, images=2)
    assert isinstance(found, Profile)
    assert (found.target, found.artifact, found.lineage) == (target.name, compiled.hash, compiled.lineage)


def test_an_artifact_that_cannot_be_loaded_is_a_failure_of_its_target(
    exported: dict[Precision, Artifact], onnx_compiled: dict[Precision, Artifact], target: Target
) -> None:
    broken = replace(onnx_compiled[Precision.FLOAT], files={"model.onnx": b"no model"})
    found = stage(exported[Precision.FLOAT], broken, target)
    assert isinstance(found, Failure)
    assert (found.stage, found.subject, found.traceback) == ("profile", target.name, "")
