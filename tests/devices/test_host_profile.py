from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Precision, Profile
from edge_pipeline.devices.host import Host
from edge_pipeline.devices.settings import ProfileSettings

TARGET = "digits@host/onnx/w8a8"


@pytest.fixture(scope="module")
def profile(onnx_compiled: dict[Precision, Artifact], images: Any) -> Profile:
    settings = ProfileSettings(warmup=5, images=8)
    return Host().profile(onnx_compiled[Precision.W8A8], (images[:8],), settings, TARGET)


@pytest.mark.slow
def test_there_are_two_repeats_of_at_least_a_hundred_samples_and_two_seconds(profile: Profile) -> None:
    assert len(profile.repeats) == 2
    for repeat in profile.repeats:
        assert len(repeat.samples_ms) >= 100
        assert sum(repeat.samples_ms) > 1000  # the rest of the two seconds goes to the loop between the samples
        assert all(sample > 0 for sample in repeat.samples_ms)


@pytest.mark.slow
def test_the_figures_are_in_the_only_order_they_can_have(profile: Profile) -> None:
    found = profile.metrics
    assert 0 < found["latency_min_ms"] <= found["latency_p50_ms"] <= found["latency_p90_ms"] <= found["latency_p99_ms"]
    assert found["load_ms"] > 0
    assert found["first_inference_ms"] > 0
    assert 0 < found["model_memory_mb"] < found["peak_memory_mb"]


@pytest.mark.slow
def test_memory_is_that_of_the_runtime_alone_not_of_the_process_that_asked(profile: Profile) -> None:
    assert torch.__version__
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    assert 10 < profile.metrics["peak_memory_mb"] < own / 2


@pytest.mark.slow
def test_layers_engine_and_artifact_are_told(profile: Profile, onnx_compiled: dict[Precision, Artifact]) -> None:
    assert any("Conv" in layer.type for layer in profile.layers)
    assert profile.runtime_version.startswith("onnxruntime ")
    assert (profile.target, profile.artifact) == (TARGET, onnx_compiled[Precision.W8A8].hash)
    assert profile.metrics["inferences"] == sum(len(repeat.samples_ms) for repeat in profile.repeats)


def test_a_broken_model_is_reported_naming_target_device_and_reason(
    onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    broken = replace(onnx_compiled[Precision.W8A8], files={"model.onnx": b"not a model"})
    with pytest.raises(DeviceError, match=rf"{TARGET}: the device 'host' could not profile the artifact; [\s\S]*rror"):
        Host().profile(broken, (images[:1],), ProfileSettings(), TARGET)


def test_a_measurement_over_its_time_limit_is_stopped(onnx_compiled: dict[Precision, Artifact], images: Any) -> None:
    settings = ProfileSettings(time_limit_s=1.5)
    with pytest.raises(DeviceError, match=rf"{TARGET}: .*time limit of 1\.5 s"):
        Host().profile(onnx_compiled[Precision.W8A8], (images[:1],), settings, TARGET)
