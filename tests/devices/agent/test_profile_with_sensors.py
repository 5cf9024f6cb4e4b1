import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.local import act
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.readings import FROM_SENSORS
from edge_pipeline.devices.settings import ProfileSettings

TARGET = "digits@host/onnx/w8a8"
HWMON, CPUFREQ = "sys/class/hwmon/hwmon3", "sys/devices/system/cpu/cpufreq"


def profile(machine: Any, artifact: Artifact, images: Any, **settings: Any) -> Any:
    chosen = ProfileSettings(warmup=5, idle_seconds=1.0, **settings)
    there = partial(act, sensors_root=str(machine.root))
    return measure(there, {"kind": "host"}, artifact, (images[:4],), chosen, TARGET)


@pytest.mark.slow
def test_a_board_with_sensors_gives_a_profile_with_all_metrics_and_a_curve(
    machine: Callable[..., Any], onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    board = machine("jetson", "clocks")

    def files(seconds: float) -> dict[str, Any]:
        return {
            f"{HWMON}/curr2_input": 1000 + int(1000 * seconds) % 5 + int(30 * seconds),
            "sys/class/thermal/thermal_zone0/temp": 45000 + int(500 * seconds),
            f"{CPUFREQ}/policy4/scaling_cur_freq": 2_000_000,
        }

    with board.animated(files):  # its power always rises: above that at rest while the model runs
        found = profile(board, onnx_compiled[Precision.W8A8], images, sustained_seconds=10.0)
    assert set(FROM_SENSORS) <= set(found.metrics)
    assert found.device["power_sensor"] == "ina3221 VDD_IN"
    assert found.device["power_scope"] == "board"
    assert 5 <= float(found.device["power_rate_hz"]) <= 51
    assert 5.0 < found.metrics["idle_power_w"] < 9.0
    assert 0 < found.metrics["power_w"] < 2.0
    assert found.metrics["energy_mj"] == pytest.approx(
        found.metrics["power_w"] * 1000 / found.metrics["throughput_ips"], rel=0.5
    )
    assert found.metrics["cpu_frequency_mhz"] == 2000.0
    assert 45 < found.metrics["temperature_max_c"] < 75
    first, last = found.repeats
    assert "sustained" not in first.readings
    points = last.readings["sustained"]["points"]
    assert 9 <= len(points["seconds"]) <= 11
    assert {len(column) for column in points.values()} == {len(points["seconds"])}
    assert points["temperature_c"] == sorted(points["temperature_c"])
    assert json.dumps(last.readings, allow_nan=False)


@pytest.mark.slow
def test_a_machine_without_sensors_reports_none_of_it_and_does_not_rest(
    machine: Callable[..., Any], onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    found = profile(machine("vm"), onnx_compiled[Precision.W8A8], images)
    assert not set(FROM_SENSORS) & set(found.metrics)
    assert [repeat.readings for repeat in found.repeats] == [{}, {}]
    assert found.device == {"kind": "host"}
