"""What a device answers is not trusted."""

import json
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.settings import ProfileSettings

GOOD = {
    "load_ms": 1.0,
    "first_inference_ms": 1.0,
    "samples_ms": [1.0] * 100,
    "peak_memory_mb": 50.0,
    "baseline_memory_mb": 40.0,
    "other_cpu_pct": None,
    "runtime_version": "onnxruntime 1",
}
LAYERS = [{"name": "conv", "type": "Conv", "compute_unit": "cpu", "time_ms": 1.0}]


def profile(answer: bytes, layers: bytes = json.dumps(LAYERS).encode()) -> Any:
    def act(action: str, *_: Any, **__: Any) -> bytes:
        return layers if action == "layers" else answer

    images = (np.zeros((2, 1, 8, 8), np.float32),)
    return measure(act, {"kind": "ssh"}, Artifact("compiled", {}), images, ProfileSettings(), "digits@board/onnx/w8a8")


def test_a_measurement_becomes_a_profile() -> None:
    found = profile(json.dumps(GOOD).encode())
    assert (found.metrics["latency_p50_ms"], found.layers[0].name) == (1.0, "conv")


@pytest.mark.parametrize(
    "answer",
    [
        b"Welcome!",
        b"[]",
        b"null",
        json.dumps({key: value for key, value in GOOD.items() if key != "samples_ms"}).encode(),
        json.dumps({**GOOD, "samples_ms": "fast"}).encode(),
        json.dumps({**GOOD, "peak_memory_mb": {"a": 1}}).encode(),
    ],
)
def test_anything_else_is_an_error_of_the_target(answer: bytes) -> None:
    with pytest.raises(DeviceError, match="digits@board/onnx/w8a8: what the device answered is no measurement"):
        profile(answer)


@pytest.mark.parametrize("layers", [b"no", b"{}", b'[{"name": 1}]'])
def test_layers_that_are_none_leave_the_latencies(layers: bytes) -> None:
    found = profile(json.dumps(GOOD).encode(), layers)
    assert found.layers == ()
    assert any("no list of layers" in one for one in found.warnings)


@pytest.mark.parametrize(("unit", "warns"), [("cpu", False), ("npu", True), ("gpu", True)])
def test_layers_that_are_not_where_they_were_wanted_are_warned_of(unit: str, warns: bool) -> None:
    def act(action: str, *_: Any, **__: Any) -> bytes:
        return json.dumps(LAYERS if action == "layers" else GOOD).encode()

    images, target = (np.zeros((2, 1, 8, 8), np.float32),), "digits@board/onnx/w8a8"
    found = measure(act, {}, Artifact("compiled", {}), images, ProfileSettings(), target, unit=unit)
    warning = f"1 of 1 layers are not on the {unit.upper()}: conv (Conv)"
    assert (warning in found.warnings) is warns


def test_of_a_model_for_an_npu_the_layers_are_the_compiler_s_and_where_they_run_is_the_device_s() -> None:
    layers = [{"name": name, "type": "Conv", "compute_unit": "npu"} for name in ("a", "b", "c")]
    device = [{"name": "a", "type": "", "compute_unit": "npu"}, {"name": "b", "type": "", "compute_unit": "cpu"}]
    device.append({"name": "inserted", "type": "", "compute_unit": "npu"})

    def act(action: str, *_: Any, **__: Any) -> bytes:
        return json.dumps(device if action == "layers" else GOOD).encode()

    artifact = Artifact("compiled", {}, details={"layers": layers})
    found = measure(act, {}, artifact, (np.zeros((2, 1), np.float32),), ProfileSettings(), "d@b/onnx/w8a8", unit="npu")
    placed = [(one.name, one.type, one.compute_unit, one.fused) for one in found.layers]
    assert placed == [("a", "Conv", "npu", False), ("b", "Conv", "cpu", False), ("c", "Conv", "npu", True)]
    assert "1 of 3 layers are not on the NPU: b (Conv)" in found.warnings
