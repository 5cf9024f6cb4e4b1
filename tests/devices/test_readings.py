from typing import Any

import pytest

from edge_pipeline.core.types import Repeat
from edge_pipeline.devices.readings import FROM_SENSORS, sensor_metrics, sensor_names, sensor_warnings
from edge_pipeline.devices.summary import MEASURED


def repeat(**readings: Any) -> Repeat:
    return Repeat(1.0, 1.0, (1.0, 2.0, 3.0), 50.0, 40.0, 0.0, readings)


def power(energy: float | None = 3.0, load: float | None = 5.0, sensor: str = "ina226 power1") -> dict[str, Any]:
    known = {"sensor": sensor, "scope": "supply", "rate_hz": 49.6, "updates_hz": 20.0}
    return {**known, "idle_w": 2.0, "load_w": load, "energy_mj": energy, "energy_with_idle_mj": 9.0}


def curve(*medians: float) -> dict[str, Any]:
    count = len(medians)
    empty = [None] * count
    points = {"seconds": [*range(1, count + 1)], "p50_ms": medians, "temperature_c": empty, "frequency_mhz": empty}
    return {"points": points, "temperature": None, "frequency": None, "throttled": None, "throttled_why": ""}


def test_without_sensors_there_is_nothing() -> None:
    assert (sensor_metrics([repeat()] * 2), sensor_names([repeat()] * 2), sensor_warnings([repeat()] * 2)) == (
        {},
        {},
        [],
    )


def test_the_names_are_those_of_a_profile() -> None:
    assert set(FROM_SENSORS) < MEASURED


def test_energy_and_power_are_means_of_what_comes_on_top_of_the_idle_machine() -> None:
    repeats = [repeat(power=power(3.0, 5.0)), repeat(power=power(3.2, 6.0))]
    assert sensor_metrics(repeats) == {"idle_power_w": 2.0, "energy_mj": pytest.approx(3.1), "power_w": 3.5}
    assert sensor_warnings(repeats) == []


def test_the_sensor_is_named_with_what_it_covers_and_its_rate() -> None:
    assert sensor_names([repeat(power=power())] * 2) == {
        "power_sensor": "ina226 power1",
        "power_scope": "supply",
        "power_rate_hz": "50",
    }


@pytest.mark.parametrize("energies", [(3.0, None), (None, None)])
def test_an_energy_that_a_repeat_lacks_is_absent(energies: tuple[float | None, ...]) -> None:
    found = sensor_metrics([repeat(power=power(one, one and 5.0)) for one in energies])
    assert found == {"idle_power_w": 2.0}


@pytest.mark.parametrize("energies", [(-0.5, 3.0), (0.0, 3.0)])
def test_an_energy_below_that_of_rest_is_a_warning_and_no_number(energies: tuple[float, ...]) -> None:
    repeats = [repeat(power=power(one, 1.5 if one <= 0 else 5.0)) for one in energies]
    assert sensor_metrics(repeats) == {"idle_power_w": 2.0}
    (warning,) = sensor_warnings(repeats)
    assert "no energy" in warning
    assert "1.5 W against 2 W, 5 W against 2 W" in warning


@pytest.mark.parametrize(("second", "warns"), [(3.5, False), (4.5, True)])
def test_energies_that_differ_much_come_with_a_warning(second: float, warns: bool) -> None:
    found = sensor_warnings([repeat(power=power(3.0)), repeat(power=power(second))])
    assert ["differ by 50% (3, 4.5 mJ)" in one for one in found] == [True] * warns


def test_two_sensors_are_not_averaged() -> None:
    repeats = [repeat(power=power(sensor="a")), repeat(power=power(sensor="b"))]
    assert sensor_metrics(repeats) == {}
    assert sensor_warnings(repeats) == ["the repeats found different power sensors (a, b): no energy"]


def test_temperature_is_the_highest_and_frequency_the_mean_of_the_fastest_policies() -> None:
    def one(celsius: float, mhz: float) -> Repeat:
        policies = {"policy0": {"mean_mhz": 600.0}, "policy4": {"mean_mhz": mhz}, "3d0.gpu": {"mean_mhz": 9000.0}}
        return repeat(temperature={"max_c": celsius}, frequency=policies)

    found = sensor_metrics([one(61.0, 2000.0), one(58.0, 2200.0)])
    assert found == {"temperature_max_c": 61.0, "cpu_frequency_mhz": 2100.0}


def test_a_temperature_that_was_not_readable_is_absent() -> None:
    assert sensor_metrics([repeat(temperature=None, frequency={})] * 2) == {}


def test_the_sustained_latency_is_the_median_of_the_last_quarter_and_compared_with_the_timed_runs() -> None:
    found = sensor_metrics([repeat(), repeat(sustained=curve(2, 2, 2, 2, 2, 9, 3, 3))])
    assert found == {"latency_sustained_ms": 3.0, "sustained_slowdown_pct": pytest.approx(50.0)}


def test_throttling_and_problems_are_told_once() -> None:
    slow = repeat(throttled=True, throttled_why="policy0 was limited", problems=["a problem"])
    late = repeat(sustained={**curve(1.0), "throttled": True, "throttled_why": "too hot"})
    assert sensor_warnings([slow, slow, late]) == [
        "a problem",
        "the device slowed down while it was measured: policy0 was limited",
        "the device slowed down in the sustained run: too hot",
    ]


@pytest.mark.parametrize("throttled", [False, None])
def test_no_throttling_and_none_known_are_no_warning(throttled: bool | None) -> None:
    assert sensor_warnings([repeat(throttled=throttled, throttled_why="")]) == []
