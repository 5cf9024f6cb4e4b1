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
