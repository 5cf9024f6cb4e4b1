from collections.abc import Callable
from typing import Any

import pytest

from edge_pipeline.devices.agent.heat import Heat, Snapshot, fastest, find_heat, frequency, temperature, throttled

THERMAL, CPUFREQ = "sys/class/thermal", "sys/devices/system/cpu/cpufreq"
Make = Callable[..., Any]


def zones(**types: int) -> dict[str, Any]:
    files: dict[str, Any] = {}
    for index, (kind, value) in enumerate(types.items()):
        folder = f"{THERMAL}/thermal_zone{index}"
        files |= {f"{folder}/type": kind.replace("_", "-"), f"{folder}/temp": value}
    return files


def snapshot(mhz: float = 2000.0, limit: float = 2400.0, celsius: float = 50.0, cooling: int = 0) -> Snapshot:
    return Snapshot(0, {"cpu-thermal": celsius}, {"policy0": mhz}, {"policy0": limit}, {"thermal-cpufreq-0": cooling})


def test_a_machine_with_nothing_has_nothing(machine: Make) -> None:
    heat = find_heat(machine("vm").root)
    assert not heat
    seen = heat.read()
    assert temperature(seen, [seen], seen) is None
    assert frequency(seen, [seen]) == {}
    assert throttled(heat, seen, [seen]) == (None, "")


def test_processors_are_read_and_other_zones_are_not(machine: Make) -> None:
    board = machine("vm")
    board.write(zones(battery=30000, cpu_thermal=45000, gpu_thermal=44000, pmic=80000))
    assert find_heat(board.root).read().temperatures == {"cpu-thermal": 45.0, "gpu-thermal": 44.0}


def test_without_a_named_processor_all_zones_are_read(machine: Make) -> None:
    board = machine("vm")
    board.write(zones(acpitz=40000))
    assert find_heat(board.root).read().temperatures == {"acpitz": 40.0}


def test_a_zone_that_is_listed_as_hwmon_too_is_read_once_and_chips_are_named_by_label(machine: Make) -> None:
    board = machine("vm")
    board.write(zones(cpu_thermal=45000))
    for n, name, label in ((0, "cpu_thermal", ""), (1, "k10temp", "Tctl")):
        board.write({f"sys/class/hwmon/hwmon{n}/name": name, f"sys/class/hwmon/hwmon{n}/temp1_input": 51000})
        board.write({f"sys/class/hwmon/hwmon{n}/temp1_label": label})
    assert find_heat(board.root).read().temperatures == {"cpu-thermal": 45.0, "k10temp Tctl": 51.0}


def test_zones_of_one_name_are_told_apart(machine: Make) -> None:
    board = machine("vm")
    for n in (0, 1):
        board.write({f"{THERMAL}/thermal_zone{n}/type": "cpu", f"{THERMAL}/thermal_zone{n}/temp": 40000 + n})
    assert find_heat(board.root).read().temperatures == {"cpu": 40.0, "cpu #2": 40.001}


@pytest.mark.parametrize("value", ["garbage", "", "-274000", "900000"])
def test_a_temperature_that_cannot_be_is_left_out(machine: Make, value: str) -> None:
    board = machine("vm")
    board.write(zones(cpu_thermal=45000))
    heat = find_heat(board.root)
    board.write({f"{THERMAL}/thermal_zone0/temp": value})
    assert heat.read().temperatures == {}


def test_the_hottest_zone_is_reported_before_at_its_highest_and_after() -> None:
    def at(cpu: float, gpu: float) -> Snapshot:
        return Snapshot(0, {"cpu": cpu, "gpu": gpu}, {}, {}, {})

    found = temperature(at(50, 40), [at(51, 44), at(52, 63)], at(52, 55))
    assert found == {"sensor": "gpu", "before_c": 40, "max_c": 63, "after_c": 55}


def test_a_zone_that_vanished_has_no_temperature_after() -> None:
    empty = Snapshot(0, {}, {}, {}, {})
    assert temperature(empty, [snapshot()], empty) == {
        "sensor": "cpu-thermal",
        "before_c": None,
        "max_c": 50.0,
        "after_c": None,
    }


def test_frequencies_are_those_of_cpus_and_accelerators_in_mhz(machine: Make) -> None:
    seen = find_heat(machine("clocks").root).read()
    assert seen.frequencies == {"policy0": 600.0, "policy4": 2000.0, "3d00000.gpu": 315.0}
    assert seen.limits == {"policy0": 1800.0, "policy4": 2400.0, "3d00000.gpu": 812.0}
    assert fastest([seen]) == "policy4"


def test_mean_and_lowest_frequency_are_those_under_load() -> None:
    found = frequency(snapshot(600), [snapshot(2000), snapshot(1000, limit=1500)])
    assert found == {"policy0": {"before_mhz": 600, "mean_mhz": 1500, "min_mhz": 1000, "limit_mhz": 1500}}


@pytest.mark.parametrize(
    ("before", "during", "expected"),
    [
        (snapshot(), [snapshot()], ""),
        (snapshot(), [snapshot(cooling=2)], "the cooling device thermal-cpufreq-0 was active"),
        (snapshot(cooling=1), [snapshot(cooling=1)], "the cooling device thermal-cpufreq-0 was active"),
        (snapshot(), [snapshot(limit=1800)], "policy0 was limited to 1800 of 2400 MHz"),
        (snapshot(limit=1500), [snapshot(limit=1500)], ""),
        (snapshot(), [snapshot(2000, celsius=92), snapshot(1500, celsius=91)], "policy0 fell from 2000 to 1500 MHz"),
        (snapshot(), [snapshot(2000, celsius=60), snapshot(1500, celsius=60)], ""),
        (snapshot(), [snapshot(2000, celsius=92), snapshot(1700, celsius=92)], ""),
    ],
    ids=["fine", "cooled", "cooled all along", "limited", "power mode", "fell when hot", "fell when cool", "wavered"],
)
def test_what_counts_as_throttling(before: Snapshot, during: list[Snapshot], expected: str) -> None:
    slow, why = throttled(Heat(trips={"cpu-thermal": 95.0}), before, during)
    assert slow is bool(expected)
    assert why.startswith(expected)


def test_fans_are_no_throttling_and_trips_of_fans_do_not_count(machine: Make) -> None:
    board = machine("clocks")
    board.write(zones(cpu_thermal=45000))
    points = {
        "trip_point_0": ("active", 40000),
        "trip_point_1": ("passive", 85000),
        "trip_point_2": ("critical", 99000),
    }
    for name, (kind, value) in points.items():
        board.write({f"{THERMAL}/thermal_zone0/{name}_type": kind, f"{THERMAL}/thermal_zone0/{name}_temp": value})
    for n, kind in enumerate(("pwm-fan", "cpufreq-cpu0")):
        board.write({f"{THERMAL}/cooling_device{n}/type": kind, f"{THERMAL}/cooling_device{n}/cur_state": 1 - n})
    heat = find_heat(board.root)
    assert heat.trips == {"cpu-thermal": 85.0}
    seen = heat.read()
    assert seen.cooling == {"cpufreq-cpu0": 0}
    assert throttled(heat, seen, [seen]) == (False, "")
