"""Turn what a device's sensors said into metrics, tags and warnings."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_pipeline.core.types import Repeat

FROM_SENSORS = (
    "energy_mj",
    "power_w",
    "idle_power_w",
    "temperature_max_c",
    "cpu_frequency_mhz",
    "latency_sustained_ms",
    "sustained_slowdown_pct",
)
"""Names of the metrics; each is absent where it was not measured."""

ENERGY_SPREAD_PCT = 20.0
"""Difference of the repeats' energies, in percent of the smaller, above which they come with a warning."""


def sensor_metrics(repeats: Sequence[Repeat]) -> dict[str, float]:
    """Return the metrics.

    Energy and power are the means of the repeats, of which all must have measured them with the same sensor; energy and
    `power_w` are what comes on top of the idle machine, and absent where that is not positive. The temperature is the
    highest, the frequency the mean of each repeat's fastest CPU policy. The sustained latency is the median of the
    curve's last quarter, its slowdown relative to the median of the timed runs before.
    """
    found: dict[str, float] = {}
    idle = _of_power(repeats, "idle_w")
    if idle:
        found["idle_power_w"] = float(np.mean(idle))
    energies, loads = _of_power(repeats, "energy_mj"), _of_power(repeats, "load_w")
    if energies and min(energies) > 0:
        found["energy_mj"] = float(np.mean(energies))
        found["power_w"] = float(np.mean(loads)) - found["idle_power_w"]
    temperatures = [one["max_c"] for repeat in repeats if (one := repeat.readings.get("temperature"))]
    if temperatures:
        found["temperature_max_c"] = max(temperatures)
    frequencies = [fastest for repeat in repeats if (fastest := _cpu_frequency(repeat)) is not None]
    if frequencies:
        found["cpu_frequency_mhz"] = float(np.mean(frequencies))
    for repeat in repeats:
        if "sustained" in repeat.readings:
            points = repeat.readings["sustained"]["points"]
            seconds, medians = np.array(points["seconds"]), np.array(points["p50_ms"])
            late = float(np.median(medians[seconds >= 0.75 * seconds[-1]]))
            found["latency_sustained_ms"] = late
            found["sustained_slowdown_pct"] = 100 * (late / float(np.median(repeat.samples_ms)) - 1)
    return found


def sensor_names(repeats: Sequence[Repeat]) -> dict[str, str]:
    """Return `power_sensor`, what it covers, and how often it was read, for the description of the device."""
    powers = _powers(repeats)
    if not powers:
        return {}
    found = {name: ", ".join(dict.fromkeys(str(one[name]) for one in powers)) for name in ("sensor", "scope")}
    rates = [one["rate_hz"] for one in powers if one["rate_hz"] is not None]
    rate = {"power_rate_hz": f"{np.mean(rates):.0f}"} if rates else {}
    return {"power_sensor": found["sensor"], "power_scope": found["scope"], **rate}


def sensor_warnings(repeats: Sequence[Repeat]) -> list[str]:
    """Return what must be said beside the metrics."""
    found = []
    for repeat in repeats:
        found += repeat.readings.get("problems", [])
        if repeat.readings.get("throttled"):
            found.append(f"the device slowed down while it was measured: {repeat.readings['throttled_why']}")
        sustained = repeat.readings.get("sustained", {})
        if sustained.get("throttled"):
            found.append(f"the device slowed down in the sustained run: {sustained['throttled_why']}")
    sensors = list(dict.fromkeys(one["sensor"] for one in _powers(repeats)))
    if len(sensors) > 1:
        found.append(f"the repeats found different power sensors ({', '.join(sensors)}): no energy")
    energies = _of_power(repeats, "energy_mj")
    if energies and min(energies) <= 0:
        found.append(
            "no energy: the device drew no more power while the model ran than at rest "
            f"({', '.join(f'{load:.3g} W against {idle:.3g} W' for load, idle in _load_and_idle(repeats))}); something "
            "else was running, or the sensor is too slow or does not see the processor"
        )
    elif energies and max(energies) > (1 + ENERGY_SPREAD_PCT / 100) * min(energies):
        found.append(
            f"the repeats' energies differ by {100 * (max(energies) / min(energies) - 1):.0f}% "
            f"({', '.join(f'{one:.3g}' for one in energies)} mJ): measure longer, or when the device is quiet"
        )
    return list(dict.fromkeys(found))


def _powers(repeats: Sequence[Repeat]) -> list[dict[str, Any]]:
    return [one for repeat in repeats if (one := repeat.readings.get("power"))]


def _of_power(repeats: Sequence[Repeat], key: str) -> list[float]:
    """Return one number of each repeat, or none at all where one has none or the sensors differ."""
    powers = _powers(repeats)
    values = [one[key] for one in powers if one[key] is not None]
    return values if len(values) == len(repeats) and len({one["sensor"] for one in powers}) == 1 else []


def _load_and_idle(repeats: Sequence[Repeat]) -> list[tuple[float, float]]:
    return [(one["load_w"], one["idle_w"]) for one in _powers(repeats)]


def _cpu_frequency(repeat: Repeat) -> float | None:
    policies = repeat.readings.get("frequency", {})
    return max((one["mean_mhz"] for name, one in policies.items() if name.startswith("policy")), default=None)
