"""Read temperatures, frequencies, and whether a machine slows itself down, without root: of Linux, and of Android."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_pipeline.devices.agent.android import STATUS, Dumpsys, Thermal
from edge_pipeline.devices.agent.sensors import COLDEST_C, in_order, number, plausible, text

_PROCESSOR = re.compile(r"cpu|gpu|npu|nsp|dsp|soc|pkg|package|tj|coretemp|k10temp|zenpower|tctl", re.IGNORECASE)
_ACCELERATOR = re.compile(r"gpu|npu|nsp|dsp|nvdla|mali|g[avp]1\db", re.IGNORECASE)
_SLOWS_DOWN = re.compile(r"cpufreq|devfreq|^processor$|cpu-|gpu|npu|nsp|dsp|powerclamp", re.IGNORECASE)
NEAR_TRIP_C = 5.0
"""A zone is near a trip point so many degrees below it."""
FELL_TO = 0.8
"""Share of its highest frequency below which a busy processor is taken as slowed down, where it is also near a trip."""


@dataclass(frozen=True)
class Snapshot:
    """What all sensors said at one time, by name: degrees Celsius, MHz, the highest MHz allowed, states of cooling.

    `status` is Android's thermal status; see android.py.
    """

    time_ns: int
    temperatures: Mapping[str, float]
    frequencies: Mapping[str, float]
    limits: Mapping[str, float]
    cooling: Mapping[str, int]
    status: int | None = None


@dataclass
class Heat:
    """The files of the sensors, by name. `trips` are the lowest temperatures (Celsius) at which a zone acts.

    `android` is asked where it tells something; for temperatures only if there is no file of one.
    """

    temperatures: dict[str, str] = field(default_factory=dict)
    trips: dict[str, float] = field(default_factory=dict)
    frequencies: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    cooling: dict[str, str] = field(default_factory=dict)
    android: Dumpsys | None = None

    def __bool__(self) -> bool:
        return self.quick or self.android is not None

    @property
    def quick(self) -> bool:
        """Whether there are sensors that can be read while a model is timed."""
        return bool(self.temperatures or self.frequencies or self.cooling)

    def read(self, quick: bool = False) -> Snapshot:
        """Read all, or only what is quick; what cannot be read, or cannot be, is left out."""
        now = time.perf_counter_ns()
        frequencies: dict[str, float] = {}
        limits: dict[str, float] = {}
        for name, (current, limit, per_mhz) in self.frequencies.items():
            for found, path in ((frequencies, current), (limits, limit)):
                value = number(path)
                if value is not None and value > 0:
                    found[name] = value / per_mhz
        degrees = {
            name: value / 1000 for name, path in self.temperatures.items() if (value := number(path)) is not None
        }
        states = {name: value for name, path in self.cooling.items() if (value := number(path)) is not None}
        temperatures = {name: value for name, value in degrees.items() if plausible(value)}
        if quick or self.android is None:
            return Snapshot(now, temperatures, frequencies, limits, states)
        told = self.android.read()
        if not self.temperatures:
            temperatures = told.processors or told.others
        return Snapshot(now, temperatures, frequencies, limits, states, told.status)


def find_heat(root: Path) -> Heat:
    """Find the sensors below `root`.

    Temperatures are those of processors, by their names, or of everything if none is named so, not by Android either.
    Frequencies are those of the CPU's policies and of GPUs and NPUs. Of the cooling devices only those count that slow
    a processor down: fans do not.
    """
    system, heat, android = root / "sys" / "class", Heat(), Dumpsys()
    told = android.read()
    heat.android = android if told != Thermal() else None
    zones: dict[str, str] = {}
    trips: dict[str, float] = {}
    for zone in in_order((system / "thermal").glob("thermal_zone*")):
        name = _unique(text(zone / "type") or zone.name, zones)
        zones[name] = str(zone / "temp")
        points = [number(str(path)) for path in zone.glob("trip_point_*_temp") if _acts(path)]
        lowest = min((point for point in points if point is not None and point > 0), default=None)
        if lowest is not None:
            trips[name] = lowest / 1000
    hwmon = _hwmon_temperatures(system / "hwmon", {_plain(name) for name in zones})
    candidates = {name: path for name, path in {**zones, **hwmon}.items() if number(path) is not None}
    named = {name: path for name, path in candidates.items() if _PROCESSOR.search(name)}
    heat.temperatures = named or ({} if told.processors else candidates)
    heat.trips = {name: value for name, value in trips.items() if name in heat.temperatures}
    for policy in in_order((root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        heat.frequencies[policy.name] = (str(policy / "scaling_cur_freq"), str(policy / "scaling_max_freq"), 1e3)
    for device in in_order((system / "devfreq").glob("*")):
        if _ACCELERATOR.search(device.name):
            heat.frequencies[device.name] = (str(device / "cur_freq"), str(device / "max_freq"), 1e6)
    heat.frequencies = {name: files for name, files in heat.frequencies.items() if number(files[0]) is not None}
    for device in in_order((system / "thermal").glob("cooling_device*")):
        kind = text(device / "type")
        if _SLOWS_DOWN.search(kind) and number(str(device / "cur_state")) is not None:
            heat.cooling[_unique(kind, heat.cooling)] = str(device / "cur_state")
    return heat


def temperature(before: Snapshot, during: Sequence[Snapshot], after: Snapshot) -> dict[str, Any] | None:
    """Return `sensor`, the one that became hottest, with `before_c`, `max_c` and `after_c`; `None` without a sensor."""
    name = hottest([*during, after])
    if name is None:
        return None
    highest = max(one.temperatures[name] for one in [*during, after] if name in one.temperatures)
    ends = {"before_c": before.temperatures.get(name), "max_c": highest, "after_c": after.temperatures.get(name)}
    return {"sensor": name, **ends}


def hottest(snapshots: Sequence[Snapshot]) -> str | None:
    """Return the name of the sensor that showed the highest temperature."""
    found = [(value, name) for one in snapshots for name, value in one.temperatures.items()]
    return max(found)[1] if found else None


def frequency(before: Snapshot, during: Sequence[Snapshot]) -> dict[str, dict[str, float | None]]:
    """Return for each processor `before_mhz`, and under load `mean_mhz`, `min_mhz` and `limit_mhz` (most allowed)."""
    found: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(name for one in during for name in one.frequencies):
        values = [one.frequencies[name] for one in during if name in one.frequencies]
        limits = [one.limits[name] for one in during if name in one.limits]
        found[name] = {
            "before_mhz": before.frequencies.get(name),
            "mean_mhz": sum(values) / len(values),
            "min_mhz": min(values),
            "limit_mhz": min(limits, default=None),
        }
    return found


def fastest(during: Sequence[Snapshot]) -> str | None:
    """Return the CPU policy with the highest mean frequency, where the engine most likely ran."""
    found = frequency(during[0], during) if during else {}
    means = {name: float(one["mean_mhz"] or 0) for name, one in found.items() if name.startswith("policy")}
    return max(means, key=lambda name: means[name], default=None)


def throttled(
    heat: Heat, before: Snapshot, during: Sequence[Snapshot], status: int | None = None
) -> tuple[bool | None, str]:
    """Return whether heat slowed a processor down, and how that shows; `None` where nothing would tell.

    It is taken as slowed down if, under load, a cooling device that lowers its frequency was active; or the highest
    frequency allowed fell below that before (a limit that was there before, such as a power mode, is no throttling); or
    the fastest CPU policy fell below `FELL_TO` of the frequency that it reached, while the hottest zone was within
    `NEAR_TRIP_C` of a trip point; or Android said so, then or, with `status`, right after.
    """
    statuses = [one for one in (status, *(one.status for one in during)) if one is not None]
    if not statuses and not any(one.limits or one.cooling or one.frequencies for one in during):
        return None, ""
    if any(statuses):
        return True, f"Android's thermal status was {STATUS[max(statuses)]}"
    for one in during:
        for name, state in one.cooling.items():
            if state > 0:
                return True, f"the cooling device {name} was active"
        for name, limit in one.limits.items():
            if limit < before.limits.get(name, 0.0):
                return True, f"{name} was limited to {limit:.0f} of {before.limits[name]:.0f} MHz"
    policy, zone = fastest(during), hottest(during)
    if policy and zone in heat.trips:
        values = [one.frequencies[policy] for one in during if policy in one.frequencies]
        highest = max(one.temperatures.get(zone, COLDEST_C) for one in during)
        if min(values) < FELL_TO * max(values) and highest >= heat.trips[zone] - NEAR_TRIP_C:
            return True, f"{policy} fell from {max(values):.0f} to {min(values):.0f} MHz with {zone} at {highest:.0f} C"
    return False, ""


def _acts(path: Path) -> bool:
    """Whether a trip point slows down or stops: not those of fans."""
    return text(path.with_name(path.name.replace("_temp", "_type"))) in ("passive", "hot", "critical")


def _hwmon_temperatures(folder: Path, zones: set[str]) -> dict[str, str]:
    """Return the inputs of chips that are not thermal zones as well: the kernel lists each zone here once more."""
    found: dict[str, str] = {}
    for chip in in_order(folder.glob("hwmon*")):
        name = text(chip / "name") or chip.name
        if _plain(name) in zones:
            continue
        for path in in_order(chip.glob("temp*_input")):
            label = text(chip / path.name.replace("_input", "_label"))
            found[_unique(f"{name} {label or path.name.removesuffix('_input')}", found)] = str(path)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    """Return `name`, with a number if it is taken."""
    count = sum(one == name or one.startswith(f"{name} #") for one in taken)
    return f"{name} #{count + 1}" if count else name
