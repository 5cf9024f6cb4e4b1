import os
from collections.abc import Callable
from typing import Any

import pytest

from edge_pipeline.devices.agent.sensors import PowerSensor, find_power

HWMON, BATTERY, RAPL = "sys/class/hwmon", "sys/class/power_supply/qcom-battery", "sys/class/powercap/intel-rapl:0"
Make = Callable[..., Any]


def found(machine: Any) -> PowerSensor:
    sensor = find_power(machine.root)
    assert sensor is not None
    return sensor


@pytest.mark.parametrize(
    ("layout", "name", "scope", "watts"),
    [
        ("jetson", "ina3221 VDD_IN", "board", 6.0),
        ("rb3", "battery qcom-battery", "battery", 2.0),
        ("ina226", "ina226 power1", "supply", 3.25),
    ],
)
def test_each_kind_of_sensor_is_found_named_and_read_in_watts(
    machine: Make, layout: str, name: str, scope: str, watts: float
) -> None:
    sensor = found(machine(layout))
    assert (sensor.name, sensor.scope, sensor.counter) == (name, scope, False)
    assert sensor.read() == pytest.approx(watts)


def test_a_plain_virtual_machine_has_none(machine: Make) -> None:
    root = machine("vm").root
    assert find_power(root) is None
    assert find_power(root / "nowhere") is None


@pytest.mark.parametrize(
    ("layouts", "scope"),
    [
        (("x86", "ina226", "rb3", "jetson"), "board"),
        (("x86", "ina226", "rb3"), "battery"),
        (("x86", "ina226"), "supply"),
    ],
)
def test_of_several_the_one_that_sees_most_of_the_device_is_taken(
    machine: Make, layouts: tuple[str, ...], scope: str
) -> None:
    assert found(machine(*layouts)).scope == scope


def test_of_rails_alone_the_first_is_taken_and_called_a_rail(machine: Make) -> None:
    jetson = machine("jetson")
    jetson.remove(f"{HWMON}/hwmon3/curr2_input")
    assert (found(jetson).name, found(jetson).scope) == ("ina3221 VDD_CPU_GPU_CV", "rail")


def test_the_voltage_of_a_shunt_is_not_taken_for_one_of_a_rail(machine: Make) -> None:
    jetson = machine("jetson")
    jetson.remove(*(f"{HWMON}/hwmon3/curr{n}_input" for n in (1, 2, 3)))
    assert find_power(jetson.root) is None


def test_a_graphics_card_is_not_taken(machine: Make) -> None:
    computer = machine("vm")
    computer.write({f"{HWMON}/hwmon1/name": "amdgpu", f"{HWMON}/hwmon1/power1_average": 30_000_000})
    assert find_power(computer.root) is None


def test_an_average_is_read_where_there_is_no_momentary_value(machine: Make) -> None:
    computer = machine("vm")
    computer.write({f"{HWMON}/hwmon1/name": "power_meter", f"{HWMON}/hwmon1/power1_average": 30_000_000})
    assert (found(computer).scope, found(computer).read()) == ("board", 30.0)


def test_hwmon_2_comes_before_hwmon_10(machine: Make) -> None:
    board = machine("vm")
    for n in (10, 2):
        board.write({f"{HWMON}/hwmon{n}/name": "ina219", f"{HWMON}/hwmon{n}/power1_input": n * 10**6})
    assert found(board).read() == 2.0


@pytest.mark.parametrize("value", ["", "garbage", "0", "-5", "99999999999999"])
def test_what_a_running_device_cannot_draw_is_no_reading(machine: Make, value: str) -> None:
    board = machine("ina226")
    sensor = found(board)
    board.write({f"{HWMON}/hwmon0/power1_input": value})
    assert sensor.read() is None
    assert find_power(board.root) is None


def test_a_sensor_that_vanishes_has_no_reading(machine: Make) -> None:
    board = machine("ina226")
    sensor = found(board)
    board.remove(f"{HWMON}/hwmon0/power1_input")
    assert sensor.read() is None


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging"])
def test_a_battery_that_does_not_discharge_tells_nothing(machine: Make, status: str) -> None:
    board = machine("rb3")
    sensor = found(board)
    board.write({f"{BATTERY}/status": status})
    assert sensor.read() is None
    assert find_power(board.root) is None


@pytest.mark.parametrize(("current", "watts"), [(-500_000, 2.0), (500_000, None)])
def test_without_a_status_a_negative_current_means_discharging(
    machine: Make, current: int, watts: float | None
) -> None:
    board = machine("rb3")
    board.remove(f"{BATTERY}/status")
    board.write({f"{BATTERY}/current_now": current})
    sensor = find_power(board.root)
    assert (sensor and sensor.read()) == watts


def test_a_battery_that_tells_its_power_is_asked_for_it(machine: Make) -> None:
    board = machine("rb3")
    board.write({f"{BATTERY}/power_now": 2_500_000})
    assert found(board).read() == 2.5


def test_the_battery_of_a_mouse_does_not_feed_the_machine(machine: Make) -> None:
    board = machine("rb3")
    board.write({f"{BATTERY}/scope": "Device"})
    assert find_power(board.root) is None


def test_rapl_counts_joules_of_packages_alone_and_goes_on_over_its_end(machine: Make) -> None:
    computer = machine("x86")
    computer.write({f"{RAPL}/energy_uj": 9_000_000})
    sensor = found(computer)
    assert (sensor.name, sensor.scope, sensor.counter) == ("RAPL package-0", "processor", True)
    assert sensor.read() == 0.0
    for counted, joules in ((9_500_000, 0.5), (500_000, 1.5), (9_900_000, 10.9), (400_000, 11.4)):
        computer.write({f"{RAPL}/energy_uj": counted})
        assert sensor.read() == pytest.approx(joules)


def test_two_packages_are_added(machine: Make) -> None:
    computer = machine("x86")
    second = "sys/class/powercap/intel-rapl:2"
    computer.write({f"{second}/name": "package-1", f"{second}/energy_uj": 0, f"{second}/max_energy_range_uj": 10})
    sensor = found(computer)
    computer.write({f"{second}/energy_uj": 4, f"{RAPL}/energy_uj": 2_000_000})
    assert (sensor.name, sensor.read()) == ("RAPL package-0, package-1", pytest.approx(2.000004))


def test_a_counter_that_could_not_be_read_for_a_while_loses_nothing(machine: Make) -> None:
    computer = machine("x86")
    sensor = found(computer)
    computer.write({f"{RAPL}/energy_uj": "garbage"})
    assert sensor.read() is None
    computer.write({f"{RAPL}/energy_uj": 3_000_000})
    assert sensor.read() == 3.0


def test_counters_that_only_root_may_read_are_absent(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    computer, opened = machine("x86"), os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith("energy_uj"):
            raise PermissionError(path)
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    assert find_power(computer.root) is None
