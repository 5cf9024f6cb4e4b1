"""A profile of an emulated Arm board: everything that is measured, and that its times are not a chip's."""

from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import VIRTUAL, DeviceSpec, connect, state
from edge_pipeline.devices.settings import ProfileSettings
from tests.devices.arm.image import CPUS, POWER_W

pytestmark = pytest.mark.slow


def test_it_tells_its_processor(arm_board: DeviceSpec) -> None:
    found = connect(arm_board).describe()
    assert found["system"].startswith("Linux") and found["system"].endswith("aarch64")
    assert (found["kind"], found["cpus"], found["note"]) == ("ssh", str(CPUS), VIRTUAL)
    assert state(arm_board)["state"] == "ready"


@pytest.mark.parametrize("compiled", ["onnx_compiled", "litert_compiled"])
def test_layers_memory_power_and_the_warning(
    arm_board: DeviceSpec, images: Any, compiled: str, request: pytest.FixtureRequest
) -> None:
    artifact: Artifact = request.getfixturevalue(compiled)[Precision.W8A8]
    settings = ProfileSettings(warmup=1, min_seconds=2, idle_seconds=1)
    found = connect(arm_board).profile(artifact, (images[:4],), settings, "digits@arm_board")
    here = connect(DeviceSpec(kind="host")).profile(artifact, (images[:4],), settings, "digits@host")
    assert [layer.name for layer in found.layers] == [layer.name for layer in here.layers] != []
    assert found.runtime_version == here.runtime_version
    assert found.metrics["latency_p50_ms"] > 0 and found.metrics["peak_memory_mb"] > 10
    assert found.metrics["idle_power_w"] == pytest.approx(POWER_W)
    assert found.device["power_sensor"] == "ina226 VDD_IN" and found.device["power_scope"] == "board"
    assert found.device["note"] == VIRTUAL and VIRTUAL in found.warnings
    assert VIRTUAL not in here.warnings
