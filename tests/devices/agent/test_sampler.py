import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_pipeline.devices.agent.sampler import Sampler, mean_watts

POWER = "sys/class/hwmon/hwmon0/power1_input"
COUNTER = "sys/class/powercap/intel-rapl:0/energy_uj"
Make = Callable[..., Any]


def measured(machine: Any, meanwhile: Callable[[], None] = lambda: None, idle_s: float = 0.3) -> dict[str, Any]:
    """Return the readings of 0.6 s in which `meanwhile` is called at the middle, as of 100 inferences."""
    sampler = Sampler(machine.root)
    sampler.start()
    idle = sampler.rest(idle_s)
    begin = time.perf_counter_ns()
    time.sleep(0.3)
    meanwhile()
    time.sleep(0.3)
    end = time.perf_counter_ns()
    sampler.stop()
    return sampler.readings(idle, (begin, end), 100)


def noisy(seconds: float, watts: float) -> int:
    return int(1e6 * watts) + int(seconds * 1e6) % 7


def test_the_mean_is_weighted_by_time() -> None:
    samples = [(0, 1.0), (1_000_000_000, 3.0), (4_000_000_000, 3.0)]
    assert mean_watts(samples, counter=False) == pytest.approx((2.0 + 9.0) / 4)


def test_the_mean_of_a_counter_needs_its_ends_alone() -> None:
    assert mean_watts([(0, 10.0), (1, 999.0), (2_000_000_000, 40.0)], counter=True) == 15.0


@pytest.mark.parametrize("lost", [0, 1, 2, 10])
def test_a_few_lost_readings_are_left_out_and_many_leave_no_mean(lost: int) -> None:
    samples = [(n, None if n < lost else 2.0) for n in range(10)]
    assert mean_watts(samples, counter=False) == (pytest.approx(2.0) if lost <= 1 else None)


def test_energy_is_load_power_times_time_with_idle_power_subtracted_and_without(machine: Make) -> None:
    board, load = machine("ina226"), threading.Event()
    sampler = Sampler(board.root)
    with board.animated(lambda t: {POWER: noisy(t, 5.0 if load.is_set() else 2.0)}):
        sampler.start()
        idle = sampler.rest(0.3)
        load.set()
        time.sleep(0.1)
        begin = time.perf_counter_ns()
        time.sleep(0.5)
        end = time.perf_counter_ns()
        sampler.stop()
    power = sampler.readings(idle, (begin, end), 100)["power"]
    assert (power["sensor"], power["scope"]) == ("ina226 power1", "supply")
    assert power["idle_w"] == pytest.approx(2.0, rel=0.01)
    assert power["load_w"] == pytest.approx(5.0, rel=0.01)
    each_ms = (end - begin) / 1e6 / 100
    assert power["energy_mj"] == pytest.approx(3.0 * each_ms, rel=0.01)
    assert power["energy_with_idle_mj"] == pytest.approx(5.0 * each_ms, rel=0.01)
    assert 10 < power["rate_hz"] <= 51


def test_a_counter_that_begins_anew_several_times_gives_the_same_power(machine: Make) -> None:
    computer = machine("x86")
    with computer.animated(lambda t: {COUNTER: int(t * 50e6) % 10_000_000}):  # 50 W, over its end every 0.2 s
        power = measured(computer)["power"]
    assert power["sensor"] == "RAPL package-0"
    assert power["idle_w"] == pytest.approx(50.0, rel=0.15)
    assert power["load_w"] == pytest.approx(50.0, rel=0.15)


@pytest.mark.parametrize("change", ["vanishes", "garbage"])
def test_a_sensor_that_is_lost_meanwhile_gives_no_number_but_a_problem(machine: Make, change: str) -> None:
    board = machine("ina226")

    def lose() -> None:
        board.remove(POWER) if change == "vanishes" else board.write({POWER: "-"})

    found = measured(board, lose)
    assert (found["power"]["load_w"], found["power"]["energy_mj"], found["power"]["energy_with_idle_mj"]) == (None,) * 3
    assert found["power"]["idle_w"] == pytest.approx(3.25)
    (problem,) = found["problems"]
    assert "ina226 power1 failed in" in problem
    assert "while the model ran, so that power and energy are not known" in problem


def test_a_battery_that_is_put_on_the_charger_meanwhile_gives_no_number(machine: Make) -> None:
    board = machine("rb3")
    found = measured(board, lambda: board.write({"sys/class/power_supply/qcom-battery/status": "Charging"}))
    assert found["power"]["energy_mj"] is None
    assert len(found["problems"]) == 1


def test_a_sensor_slower_than_the_measurement_is_told(machine: Make) -> None:
    (problem,) = measured(machine("rb3"))["problems"]
    assert "gave 1 different value while the model ran" in problem
    assert "profile.min_seconds" in problem


def test_temperature_and_frequency_are_followed_without_a_power_sensor_and_without_a_rest(machine: Make) -> None:
    board = machine("clocks")
    zone = "sys/class/thermal/thermal_zone0"
    board.write({f"{zone}/type": "cpu-thermal", f"{zone}/temp": 40000})
    began = time.perf_counter()
    found = measured(board, lambda: board.write({f"{zone}/temp": 47000}), idle_s=60.0)
    assert time.perf_counter() - began < 10
    assert "power" not in found
    assert found["temperature"] == {"sensor": "cpu-thermal", "before_c": 40.0, "max_c": 47.0, "after_c": 47.0}
    assert found["frequency"]["policy4"]["mean_mhz"] == 2000.0
    assert found["throttled"] is False
    assert found["problems"] == []


def test_a_machine_without_sensors_has_no_thread_and_no_readings(machine: Make) -> None:
    threads = threading.active_count()
    sampler = Sampler(machine("vm").root)
    sampler.start()
    assert threading.active_count() == threads
    assert sampler.rest(60.0) is None
    sampler.stop()
    assert sampler.readings(None, (0, 1), 100) == {}


def test_reading_takes_little_of_a_core(machine: Make) -> None:
    found = measured(machine("jetson", "clocks"), idle_s=1.0)
    assert 0 < found["sampler_cpu_pct"] < 5  # below 1 on a quiet machine
