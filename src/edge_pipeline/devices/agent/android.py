"""Read what Android itself tells of its heat: an app may ask it where the kernel's files are closed."""

import re
import shutil
import subprocess
from dataclasses import dataclass, field

from edge_pipeline.devices.agent.sensors import plausible

STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""Names of Android's thermal statuses, which are numbers."""

TIME_LIMIT_S = 5.0

_NO_TEMPERATURE = (-1, 6, 7, 8)  # of the types: unknown; voltage, current and percentage of the battery
_PROCESSORS = (0, 1, 9, 10, 13)  # CPU, GPU, NPU, TPU, the whole chip
_NOW = re.compile(r"^Current temperatures from HAL:$(.*?)^\S", re.MULTILINE | re.DOTALL)
_TEMPERATURE = re.compile(
    r"^\s*Temperature\{mValue=(-?\d{1,4}(?:\.\d{1,9})?), mType=(-?\d{1,4}), mName=([^,{}]{1,60}), mStatus=-?\d{1,4}\}",
    re.MULTILINE | re.ASCII,
)
_STATUS = re.compile(r"^Thermal Status: ([0-6])$", re.MULTILINE | re.ASCII)
_BATTERY = re.compile(r"^\s*temperature: (-?\d{1,5})$", re.MULTILINE | re.ASCII)
_FAKED = re.compile(r"^\s*IsStatusOverride: true$|UPDATES STOPPED", re.MULTILINE | re.ASCII)


@dataclass(frozen=True)
class Thermal:
    """What Android told: degrees Celsius by the name of the sensor, and its thermal status, an index of `STATUS`."""

    processors: dict[str, float] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    status: int | None = None


def parse(service: str, battery: str) -> Thermal:
    """Return what the texts of `dumpsys thermalservice` and `dumpsys battery` tell; what cannot be is left out.

    Temperatures are those that the sensors show now, not those that Android remembers; 0 is that of a sensor that is
    not there. A status or a battery that was set by hand for a test is left out.
    """
    processors: dict[str, float] = {}
    others: dict[str, float] = {}
    section = _NOW.search(f"{service}\n.")
    for value, kind, name in _TEMPERATURE.findall(section[1] if section else ""):
        if int(kind) not in _NO_TEMPERATURE and float(value) and plausible(float(value)):
            (processors if int(kind) in _PROCESSORS else others)[name] = float(value)
    tenths = _BATTERY.findall(battery)
    if len(tenths) == 1 and not _FAKED.search(battery) and plausible(int(tenths[0]) / 10):
        others.setdefault("battery", int(tenths[0]) / 10)
    status = _STATUS.findall(service)
    return Thermal(processors, others, int(status[0]) if len(status) == 1 and not _FAKED.search(service) else None)


class Dumpsys:
    """The program that asks Android's services. It takes a hundredth of a second or more: not for within a timing."""

    def __init__(self) -> None:
        self._program = shutil.which("dumpsys")

    def read(self) -> Thermal:
        """Return what Android tells now; nothing where it tells nothing."""
        return parse(self._ask("thermalservice"), self._ask("battery"))

    def _ask(self, service: str) -> str:
        if self._program is None:
            return ""
        try:
            done = subprocess.run(
                [self._program, service], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT_S
            )
        except (OSError, subprocess.SubprocessError):
            self._program = None  # it would only cost time again
            return ""
        return done.stdout.decode(errors="replace").replace("\r\n", "\n") if done.returncode == 0 else ""
