"""A power sensor that the user names instead of the best one."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.devices.agent.__main__ import main
from edge_pipeline.devices.agent.sampler import Sampler
from edge_pipeline.devices.agent.sensors import SensorError, find_power, power_sensors


def found(root: Path, wanted: str | None = None) -> str:
    sensor = find_power(root, wanted)
    assert sensor
    return sensor.name


def test_a_sensor_is_named_whole_or_by_a_pattern_or_by_its_file(machine: Any) -> None:
    jetson = machine("jetson")
    assert found(jetson.root) == "ina3221 VDD_IN"
    for wanted in (
        "ina3221 VDD_SOC",
        "*VDD_SOC",
        "*/hwmon3/curr3_input",
        f"{jetson.root}/sys/class/hwmon/hwmon3/curr3*",
    ):
        assert found(jetson.root, wanted) == "ina3221 VDD_SOC"


def test_of_several_that_fit_the_best_is_taken(machine: Any) -> None:
    assert found(machine("jetson").root, "ina3221*") == "ina3221 VDD_IN"


def test_an_unknown_one_lists_those_there_are(machine: Any) -> None:
    with pytest.raises(SensorError) as raised:
        Sampler(machine("jetson").root, "ina226*")
    told = str(raised.value)
    assert "there is no power sensor 'ina226*'" in told
    assert "'ina3221 VDD_IN' (board, " in told and "hwmon3/curr2_input)" in told and "'ina3221 VDD_SOC' (rail" in told


def test_where_there_is_none_it_says_so(machine: Any) -> None:
    with pytest.raises(SensorError, match="'x' on this machine; none can be read here"):
        find_power(machine("vm").root, "x")


@pytest.mark.parametrize("layout", ["jetson", "rb3", "ina226", "x86"])
def test_every_sensor_that_is_listed_can_be_named(machine: Any, layout: str) -> None:
    root = machine(layout).root
    for sensor in power_sensors(root):
        assert Path(sensor.path).exists()
        assert found(root, sensor.name) == sensor.name == found(root, sensor.path)


def test_the_agent_lists_them_best_first(machine: Any, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    main({"action": "describe", "result": str(result), "sensors_root": str(machine("jetson").root)})
    told = json.loads(result.read_text())
    assert [one["name"].removeprefix("ina3221 ") for one in told["power_sensors"]] == [
        "VDD_IN",
        "VDD_CPU_GPU_CV",
        "VDD_SOC",
    ]
    assert told["power_sensors"][0]["watts"] == pytest.approx(6.0)
    assert "CPUExecutionProvider" in told["providers"]
