"""Find and read the power sensor of a Linux machine, without root.

Everything is read from the kernel's files; nothing is estimated by software. One sensor is chosen, the one that tells
most of the device:

1. `board`: a hwmon channel that is labelled as the board's input (VDD_IN of a Jetson) or an ACPI power meter;
2. `battery`: a battery while it discharges, which then feeds all of the device;
3. `supply`: an unlabelled shunt monitor (INA219, INA226 ...), which sits in a supply line, mostly the board's;
4. `processor`: the package counters of RAPL, without the memory and the rest of the board;
5. `rail`: any other hwmon channel, of one part of the board; not those of graphics cards, which do not feed the CPU.

Of several in one class the first by name is taken. The user may name another one.
"""

import fnmatch
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SCOPES = ("board", "battery", "supply", "processor", "rail")
"""What a power sensor covers, best first."""

_BOARD_LABELS = ("vdd_in", "pom_5v_in", "total", "power total")
_SHUNT_MONITORS = ("ina", "ltc", "pac1", "adm1")
_GRAPHICS = ("amdgpu", "radeon", "nouveau", "nvidia", "i915", "xe")
_MOST_W = 10_000.0
COLDEST_C, HOTTEST_C = -60.0, 200.0


def text(path: Path) -> str:
    """Return what a file of the kernel says, stripped; nothing where it cannot be read."""
    return (_content(str(path)) or b"").decode(errors="replace").strip()


def number(path: str) -> int | None:
    """Return the integer in a file of the kernel, `None` where there is none. Takes microseconds."""
    try:
        return int(_content(path) or b"")
    except ValueError:
        return None


def _content(path: str) -> bytes | None:
    """Return the first bytes of a file, `None` where it cannot be read; several times faster than `Path.read_text`."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 256)
        finally:
            os.close(file)
    except OSError:
        return None


def plausible(celsius: float) -> bool:
    """Whether a device can be so warm: some sensors show anything when they show nothing."""
    return COLDEST_C < celsius < HOTTEST_C


def in_order(paths: Iterator[Path]) -> list[Path]:
    """Sort by name, numbers in names by value: hwmon2 before hwmon10."""
    return sorted(paths, key=lambda path: [(int(n or 0), word) for word, n in re.findall(r"(\D*)(\d*)", path.name)])


@dataclass(frozen=True)
class PowerSensor:
    """One sensor.

    `read` gives watts, or of a `counter` the joules since some moment; `None` where it cannot be read or what it says
    cannot be. `scope` is one of `SCOPES`, `path` the file that is read, or the first of several.
    """

    name: str
    scope: str
    read: Callable[[], float | None]
    counter: bool = False
    path: str = ""

    @property
    def listed(self) -> str:
        """The sensor as a user may name it."""
        return f"'{self.name}' ({self.scope}, {self.path})"


class SensorError(Exception):
    """There is no such sensor."""


def find_power(root: Path, wanted: str | None = None) -> PowerSensor | None:
    """Return the best sensor below `root` that can be read now, or the one that is wanted.

    Args:
        root: the folder that has `sys`.
        wanted: a sensor's name, or its file; both may be a pattern with `*`. Of several that fit, the best is taken.

    Raises:
        SensorError: no sensor is called so; the message lists those that there are.
    """
    readable = power_sensors(root)
    if wanted is None:
        return readable[0] if readable else None
    fitting = [one for one in readable if any(_called(known, wanted) for known in (one.name, one.path))]
    if not fitting:
        there = ", ".join(one.listed for one in readable)
        told = f"those that can be read are {there}" if there else "none can be read here"
        raise SensorError(f"there is no power sensor '{wanted}' on this machine; {told}: see `power_sensor`")
    return fitting[0]


def power_sensors(root: Path) -> list[PowerSensor]:
    """Return all sensors below `root` that can be read now, the best first."""
    system = root / "sys" / "class"
    found = [*_hwmon(system / "hwmon"), *_batteries(system / "power_supply"), *_rapl(system / "powercap")]
    readable = [sensor for sensor in found if sensor.read() is not None]
    return sorted(readable, key=lambda sensor: SCOPES.index(sensor.scope))


def _called(name: str, wanted: str) -> bool:
    return name == wanted or fnmatch.fnmatchcase(name, wanted)


def _watts(value: float) -> float | None:
    """Return a power that a device can have: one that runs draws something."""
    return value if 0 < value < _MOST_W else None


def _gauge(*paths: Path, unit: float) -> Callable[[], float | None]:
    """Return a function that reads the product of the files, in watts."""
    names = [str(path) for path in paths]

    def read() -> float | None:
        product = unit
        for name in names:
            value = number(name)
            if value is None:
                return None
            product *= value
        return _watts(product)

    return read


def _hwmon(folder: Path) -> Iterator[PowerSensor]:
    """Yield channels in microwatts, or, of chips without those, in milliamperes times millivolts."""
    for chip in in_order(folder.glob("hwmon*")):
        name = text(chip / "name") or chip.name
        if name in _GRAPHICS:
            continue
        inputs = {one.name.split("_")[0]: one for kind in ("average", "input") for one in chip.glob(f"power*_{kind}")}
        for channel, path in sorted(inputs.items()):
            label = text(chip / f"{channel}_label") or text(chip / "label")
            gauge = _gauge(path, unit=1e-6)
            yield PowerSensor(f"{name} {label or channel}", _scope(name, label), gauge, path=str(path))
        if inputs:
            continue
        for current in in_order(chip.glob("curr*_input")):
            channel = current.name.removeprefix("curr").removesuffix("_input")
            voltage = chip / f"in{channel}_input"
            if name == "ina3221" and channel not in ("1", "2", "3"):
                continue  # in4 to in7 are the voltages of the shunts
            if voltage.exists():
                label = text(chip / f"in{channel}_label") or text(chip / f"curr{channel}_label")
                yield PowerSensor(
                    f"{name} {label or f'channel {channel}'}",
                    _scope(name, label),
                    _gauge(current, voltage, unit=1e-6),
                    path=str(current),
                )


def _scope(chip: str, label: str) -> str:
    if chip == "power_meter" or label.lower() in _BOARD_LABELS:
        return "board"
    return "supply" if not label and chip.startswith(_SHUNT_MONITORS) else "rail"


def _batteries(folder: Path) -> Iterator[PowerSensor]:
    for battery in in_order(folder.glob("*")):
        if text(battery / "type") == "Battery" and text(battery / "scope") != "Device":  # that of a mouse or a pen
            yield PowerSensor(f"battery {battery.name}", "battery", _battery(battery), path=str(battery))


def _battery(folder: Path) -> Callable[[], float | None]:
    """Return a function that reads the watts that a battery gives; `None` while it does not discharge.

    The sign of the current differs between drivers. Where there is no status a negative one means discharging.
    """
    power, current, voltage = (str(folder / f"{name}_now") for name in ("power", "current", "voltage"))

    def read() -> float | None:
        status = text(folder / "status")
        amperes = number(current)
        if status != "Discharging" and (status or amperes is None or amperes >= 0):
            return None
        watts = number(power)
        if watts is not None:
            return _watts(abs(watts) * 1e-6)
        volts = number(voltage)
        return None if amperes is None or volts is None else _watts(abs(amperes * volts) * 1e-12)

    return read


def _rapl(folder: Path) -> Iterator[PowerSensor]:
    """Yield the counters of all packages as one; their second interface in memory (mmio) counts the same energy."""
    domains = [one for one in in_order(folder.glob("*rapl:*")) if re.fullmatch(r"(?!.*mmio).*rapl:\d+", one.name)]
    packages = [one for one in domains if text(one / "name").startswith("package")]
    if packages:
        name = f"RAPL {', '.join(text(one / 'name') for one in packages)}"
        yield PowerSensor(name, "processor", _Joules(packages).read, True, str(packages[0]))


class _Joules:
    """The sum of counters in microjoules, each of which begins anew at its `max_energy_range_uj`."""

    def __init__(self, domains: Sequence[Path]) -> None:
        self._counters = [str(one / "energy_uj") for one in domains]
        self._ranges = [number(str(one / "max_energy_range_uj")) for one in domains]
        self._last = [number(path) for path in self._counters]
        self._total = 0

    def read(self) -> float | None:
        """Return the joules since the counters were found; `None` where one cannot be read."""
        values = [number(path) for path in self._counters]
        steps = [_step(*one) for one in zip(self._last, values, self._ranges, strict=True)]
        known = [step for step in steps if step is not None]
        if len(known) < len(steps):
            return None
        self._last = values
        self._total += sum(known)
        return self._total * 1e-6


def _step(last: int | None, value: int | None, full: int | None) -> int | None:
    """Return by how much a counter rose; `None` where that is not known."""
    if last is None or value is None or value < 0 or (value < last and full is None):
        return None
    return value - last if value >= last else value - last + (full or 0)
