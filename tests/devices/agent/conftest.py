"""Folders that look like the kernel's files of several machines."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HWMON, SUPPLY, RAPL = "sys/class/hwmon", "sys/class/power_supply", "sys/class/powercap"
THERMAL, CPUFREQ = "sys/class/thermal", "sys/devices/system/cpu/cpufreq"

LAYOUTS: dict[str, dict[str, Any]] = {
    "jetson": {
        f"{HWMON}/hwmon3/name": "ina3221",
        **{
            f"{HWMON}/hwmon3/{file}": value
            for n, rail, milliamperes in ((1, "VDD_CPU_GPU_CV", 400), (2, "VDD_IN", 1200), (3, "VDD_SOC", 300))
            for file, value in ((f"in{n}_label", rail), (f"in{n}_input", 5000), (f"curr{n}_input", milliamperes))
        },
        **{f"{HWMON}/hwmon3/{file}": 9 for file in ("in4_input", "in7_input", "curr4_input")},
        f"{THERMAL}/thermal_zone0/type": "cpu-thermal",
        f"{THERMAL}/thermal_zone0/temp": 45000,
    },
    "rb3": {
        f"{SUPPLY}/usb/type": "USB",
        f"{SUPPLY}/qcom-battery/type": "Battery",
        f"{SUPPLY}/qcom-battery/status": "Discharging",
        f"{SUPPLY}/qcom-battery/current_now": -500000,
        f"{SUPPLY}/qcom-battery/voltage_now": 4000000,
    },
    "ina226": {
        f"{HWMON}/hwmon0/name": "ina226",
        f"{HWMON}/hwmon0/power1_input": 3250000,
        f"{HWMON}/hwmon0/in1_input": 5010,
        f"{HWMON}/hwmon0/curr1_input": 649,
    },
    "x86": {
        f"{RAPL}/intel-rapl:0/name": "package-0",
        f"{RAPL}/intel-rapl:0/energy_uj": 0,
        f"{RAPL}/intel-rapl:0/max_energy_range_uj": 10_000_000,
        f"{RAPL}/intel-rapl:0:0/name": "core",
        f"{RAPL}/intel-rapl:0:0/energy_uj": 5,
        f"{RAPL}/intel-rapl-mmio:0/name": "package-0",
        f"{RAPL}/intel-rapl-mmio:0/energy_uj": 7,
        f"{RAPL}/intel-rapl:1/name": "psys",
        f"{RAPL}/intel-rapl:1/energy_uj": 9,
    },
    "clocks": {
        f"{CPUFREQ}/policy0/scaling_cur_freq": 600000,
        f"{CPUFREQ}/policy0/scaling_max_freq": 1800000,
        f"{CPUFREQ}/policy4/scaling_cur_freq": 2000000,
        f"{CPUFREQ}/policy4/scaling_max_freq": 2400000,
        "sys/class/devfreq/3d00000.gpu/cur_freq": 315000000,
        "sys/class/devfreq/3d00000.gpu/max_freq": 812000000,
        "sys/class/devfreq/1d84000.ufshc/cur_freq": 300000000,
    },
    "vm": {"sys/class/net/eth0/mtu": 1500},
}


class Machine:
    """Files below `root`, written as the kernel shows them: never half."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files: Mapping[str, Any]) -> None:
        for name, value in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.root / "partial"
            temporary.write_text(f"{value}\n")
            temporary.replace(path)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.root / name).unlink()

    @contextmanager
    def animated(self, files: Callable[[float], Mapping[str, Any]]) -> Iterator[None]:
        """Write what `files` returns for the seconds since the beginning, again and again."""
        ended, began = threading.Event(), time.monotonic()

        def run() -> None:
            while not ended.wait(0.005):
                self.write(files(time.monotonic() - began))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    """Return a function that makes a machine of the named layouts."""

    def make(*layouts: str) -> Machine:
        found = Machine(tmp_path / "root")
        found.root.mkdir()
        for layout in layouts:
            found.write(LAYOUTS[layout])
        return found

    return make
