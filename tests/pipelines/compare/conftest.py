"""Real outputs of the digits, saved as the results of devices."""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision, Profile, RuntimeName, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.validate import nodes, outputs
from edge_pipeline.pipelines.validate.parameters import ValidateParameters


@pytest.fixture(scope="session")
def validated(
    spec: ModelSpec,
    small_split: Split,
    exported: dict[Precision, Artifact],
    onnx_compiled: dict[Precision, Artifact],
) -> dict[Precision, tuple[Validation, Artifact]]:
    """What validation on this machine gives with ONNX Runtime, for each precision."""
    found = {}
    for precision in (Precision.FLOAT, Precision.W8A8):
        target = Target("digits", "host", RuntimeName.ONNX, precision)
        fixed = {"spec": spec, "device": DeviceSpec(kind="host"), "target": target, "subject": target.name}
        result = nodes.validate(
            small_split, exported[precision], onnx_compiled[precision], ValidateParameters(), **fixed
        )
        assert isinstance(result[0], Validation), result[0]
        found[precision] = result
    return found


@pytest.fixture
def changed() -> Callable[[Artifact, Callable[[Any], Any]], Artifact]:
    """Return a function that changes the outputs that a `predictions` artifact keeps."""

    def make(predictions: Artifact, change: Callable[[Any], Any]) -> Artifact:
        (tensor,) = outputs.kept(predictions)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{"0000": change(tensor.copy())})
        return replace(predictions, files={**predictions.files, "outputs.npz": buffer.getvalue()})

    return make


@pytest.fixture
def results(
    validated: dict[Precision, tuple[Validation, Artifact]], make_profile: Callable[..., Profile]
) -> Callable[..., TargetResults]:
    """Return a function that makes the results of a device, of those of this machine."""

    def make(
        device: str = "host",
        precision: Precision = Precision.W8A8,
        kind: str = "host",
        predictions: Artifact | None = None,
        **metrics: float,
    ) -> TargetResults:
        target = Target("digits", device, RuntimeName.ONNX, precision)
        validation, real = validated[precision]
        validation = replace(validation, target=target.name, metrics={**validation.metrics, **metrics})
        profile = replace(make_profile(target, **metrics), lineage=validation.lineage)
        return TargetResults(target, kind, (profile, validation), predictions or real, ())

    return make
