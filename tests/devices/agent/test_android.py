"""What Android's services tell of its heat, in the texts that phones print."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.devices.agent import android
from edge_pipeline.devices.agent.android import Thermal, parse
from edge_pipeline.devices.agent.heat import find_heat, temperature, throttled
from edge_pipeline.devices.agent.sampler import Sampler

SERVICE = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=0, mName=BIG, mStatus=3}}
HAL Ready: true
HAL connection:
\tThermalHAL 2.0 connected: yes
Current temperatures from HAL:
\tTemperature{{mValue=62.500004, mType=0, mName=BIG, mStatus=0}}
\tTemperature{{mValue=61.0, mType=1, mName=GPU, mStatus=0}}
\tTemperature{{mValue=36.25, mType=3, mName=VIRTUAL-SKIN, mStatus=0}}
\tTemperature{{mValue=4200.0, mType=6, mName=vbat, mStatus=0}}
\tTemperature{{mValue=80.0, mType=8, mName=soc, mStatus=0}}
\tTemperature{{mValue=55.0, mType=-1, mName=virtual, mStatus=0}}
\tTemperature{{mValue=0.0, mType=9, mName=NPU, mStatus=0}}
\tTemperature{{mValue=NaN, mType=10, mName=TPU, mStatus=0}}
Current cooling devices from HAL:
\tTemperature{{mValue=88.0, mType=0, mName=wrong, mStatus=0}}
\tCoolingDevice{{mValue=0, mType=2, mName=thermal-cpufreq-0}}
"""
BATTERY = "Current Battery Service state:\n  level: 87\n  temperature: 291\n  technology: Li-ion\n"
Make = Callable[..., Any]


def test_temperatures_are_those_of_now_and_of_what_has_a_temperature() -> None:
    assert parse(SERVICE.format(status=0), BATTERY) == Thermal(
        {"BIG": 62.500004, "GPU": 61.0}, {"VIRTUAL-SKIN": 36.25, "battery": 29.1}, 0
    )


def test_line_ends_of_old_devices_do_not_matter(tools: Path) -> None:
    answer(tools, service=SERVICE.format(status=2).replace("\n", "\r\n"))
    found = android.Dumpsys().read()
    assert found.processors == {"BIG": 62.500004, "GPU": 61.0} and found.status == 2


@pytest.mark.parametrize(
    ("service", "battery"),
    [
        ("", ""),
        ("Can't find service: thermalservice\n", "Can't find service: battery\n"),
        ("Permission Denial: can't dump ThermalManagerService from pid=1, uid=10234", "\0\0\0"),
        ("Thermal Status: 9\n", "  temperature: warm\n"),
        ("Thermal Status: 1\nThermal Status: 3\n", "  temperature: 291\n  temperature: 400\n"),
        (
            "IsStatusOverride: true\nThermal Status: 3\n",
            "  (UPDATES STOPPED -- use 'reset' to restart)\n  temperature: 291\n",
        ),
        ("HAL Ready: false\nTemperature{mValue=50.0, mType=0, mName=CPU, mStatus=0}", "  temperature: 99999\n"),
        ("Current temperatures from HAL:\n\tTemperature{mValue=5e1, mType=0, mName=CPU, mStatus=0}\n", "temperature: "),
        ("Current temperatures from HAL:\n\tTemperature{mValue=450.0, mType=0, mName=CPU, mStatus=0}\n", "tempera"),
        ("Current temperatures from HAL:\n\tTemperature{mValue=45.0, mType=0, mName=CP", "  temperature: 29.1\n"),
    ],
    ids=[
        "empty",
        "no service",
        "denied",
        "out of range",
        "twice",
        "faked",
        "not ready",
        "odd",
        "impossible",
        "cut off",
    ],
)
def test_a_bad_text_is_no_reading(service: str, battery: str) -> None:
    assert parse(service, battery) == Thermal()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the programs of a phone, of which there is `dumpsys`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "dumpsys").write_text(f'#!/bin/sh\n: >> {folder}/asked\ncat {folder}/"$1"\n')
    (folder / "dumpsys").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def answer(tools: Path, service: str = "", battery: str = BATTERY) -> None:
    (tools / "thermalservice").write_bytes(service.encode())
    (tools / "battery").write_text(battery)


def measured(root: Path, meanwhile: Callable[[], object]) -> dict[str, Any]:
    import time

    sampler = Sampler(root)
    sampler.start()
    idle = sampler.rest(0.1)
    begin = time.perf_counter_ns()
    meanwhile()
    end = time.perf_counter_ns()
    sampler.stop()
    return sampler.readings(idle, (begin, end), 10)


def test_a_phone_whose_files_are_closed_is_asked_before_and_after_a_measurement(machine: Make, tools: Path) -> None:
    phone = machine("vm")
    answer(tools, SERVICE.format(status=0))
    hot = SERVICE.replace("62.5", "71.5").format(status=3)
    found = measured(phone.root, lambda: answer(tools, hot))
    assert found["temperature"] == {"sensor": "BIG", "before_c": 62.500004, "max_c": 71.500004, "after_c": 71.500004}
    assert (found["throttled"], found["throttled_why"]) == (True, "Android's thermal status was severe")


def test_android_is_not_asked_while_a_model_is_timed(machine: Make, tools: Path) -> None:
    import time

    phone = machine("vm", "clocks")
    answer(tools, SERVICE.format(status=0))

    def run() -> None:
        (tools / "asked").unlink()
        time.sleep(0.7)
        assert not (tools / "asked").exists()

    found = measured(phone.root, run)
    assert found["frequency"] and (tools / "asked").exists()
    assert found["throttled"] is False


def test_processors_in_the_files_of_the_kernel_go_before_those_of_android(machine: Make, tools: Path) -> None:
    phone = machine("jetson")
    answer(tools, SERVICE.format(status=1))
    seen = find_heat(phone.root).read()
    assert seen.temperatures == {"cpu-thermal": 45.0}
    assert seen.status == 1


def test_processors_of_android_go_before_other_files_of_the_kernel(machine: Make, tools: Path) -> None:
    phone = machine("vm")
    phone.write({"sys/class/thermal/thermal_zone0/type": "pmic", "sys/class/thermal/thermal_zone0/temp": 80000})
    answer(tools, SERVICE.format(status=0))
    assert find_heat(phone.root).read().temperatures == {"BIG": 62.500004, "GPU": 61.0}


def test_a_phone_that_tells_of_its_battery_alone_shows_that(machine: Make, tools: Path) -> None:
    answer(tools, "Can't find service: thermalservice")
    heat = find_heat(machine("vm").root)
    seen = heat.read()
    assert temperature(seen, [seen], seen) == {"sensor": "battery", "before_c": 29.1, "max_c": 29.1, "after_c": 29.1}
    assert throttled(heat, seen, [seen], seen.status) == (None, "")


def test_a_phone_that_tells_nothing_has_no_sensors(machine: Make, tools: Path) -> None:
    answer(tools, battery="")
    assert not find_heat(machine("vm").root)


def test_a_program_that_hangs_is_asked_once(machine: Make, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "dumpsys").write_text(f"#!/bin/sh\necho >> {tools}/asked\nexec sleep 30\n")
    monkeypatch.setattr(android, "TIME_LIMIT_S", 0.2)
    assert not find_heat(machine("vm").root)
    assert (tools / "asked").read_text() == "\n"
