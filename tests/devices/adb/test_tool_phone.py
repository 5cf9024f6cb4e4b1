"""A phone without Python: a stand-in prints what LiteRT's `benchmark_model` prints, behind the real adb client."""

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.boards import phone as phones
from edge_pipeline.devices.boards.adb_link import AdbLink
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.inventory import DeviceSpec, connect, state
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.selftest import selftest
from tests.devices.adb.adbd import Adbd
from tests.devices.test_benchmark_output import NEW, OLDER

MODEL = Artifact("compiled", {"m.tflite": b"TFL3" * 1000}, details={"runtime": "tflite", "model": "m.tflite"})
IMAGES = (np.zeros((1, 3, 4, 4), np.float32),)
TARGET = "digits@phone/tflite/w8a8"

Program = Callable[..., Path]


@pytest.fixture
def program(tools: Path) -> Program:
    """Return a function that writes the program, which notes its arguments and prints `text`."""

    def write(text: str = NEW, *, before: str = "", status: int = 0) -> Path:
        (tools / "text").write_text(text)
        path = tools / "benchmark_model"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tools}/asked\n{before}\ncat {tools}/text\nexit {status}\n')
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def spec(phone: Adbd, tmp_path: Path, program: Program) -> DeviceSpec:
    entry = {"kind": "adb", "address": f"127.0.0.1:{phone.port}", "benchmark_model": str(program())}
    return DeviceSpec.model_validate({**entry, "folder": str(tmp_path / "my board"), "retry": {"attempts": 1}})


def measured(spec: DeviceSpec, **settings: Any) -> Profile:
    return connect(spec).profile(MODEL, IMAGES, ProfileSettings(**settings), TARGET)


def refused(spec: DeviceSpec, **settings: Any) -> str:
    with pytest.raises(DeviceError) as caught:
        measured(spec, **settings)
    assert str(caught.value).startswith(f"{TARGET}: profile failed on the device")
    return str(caught.value)


def test_its_numbers_are_in_the_profile_and_what_it_does_not_tell_is_absent(spec: DeviceSpec, tools: Path) -> None:
    found = measured(spec, threads=3)
    assert found.metrics == pytest.approx(
        {
            "latency_p50_ms": 27.511,
            "latency_spread_pct": 0.0,
            "latency_mean_ms": 27.7,
            "latency_min_ms": 27.118,
            "inferences": 204,
            "first_inference_ms": 90.275,
            "load_ms": 17.187,
            "throughput_ips": 1000 / 27.7,
            "model_memory_mb": 46.0859 * 1.048576,
            "size_mb": 0.004,
        }
    )
    assert [one.samples_ms for one in found.repeats] == [(), ()] and found.layers == ()
    tool = hashlib.sha256((tools / "benchmark_model").read_bytes()).hexdigest()
    assert found.runtime_version == f"benchmark_model {tool[:12]}"
    assert found.device["kind"] == "adb" and "Edge Phone, Android 14" in found.device["system"]
    assert any("random inputs and tells no single times: no p90, no p99" in one for one in found.warnings)
    kept = Path(str(spec.folder)) / "files" / hashlib.sha256(MODEL.files["m.tflite"]).hexdigest()
    assert kept.read_bytes() == MODEL.files["m.tflite"]
    asked = (tools / "asked").read_text().splitlines()
    assert (
        asked
        == [
            f"--graph={kept} --num_threads=3 --warmup_runs=50 --warmup_min_secs=0 --num_runs=100 --min_secs=2 "
            "--max_secs=300 --use_xnnpack=true"
        ]
        * 2
    )


def test_repeats_that_differ_are_weighed_and_told(spec: DeviceSpec, program: Program, tools: Path) -> None:
    line = next(one for one in NEW.splitlines() if "count=102" in one)
    other = "INFO: count=306 first=40000 curr=40000 min=36000 max=50000 avg=40000 std=9 p5=36000 median=41000 p95=48000"
    (tools / "other").write_text(NEW.replace(line, other).replace("Init: 17187", "Init: 20000"))
    program(before=f"if [ $(wc -l < {tools}/asked) -ge 2 ]; then cp {tools}/other {tools}/text; fi")
    found = measured(spec)
    metrics = found.metrics
    assert metrics["latency_mean_ms"] == pytest.approx((102 * 27.7 + 306 * 40) / 408)
    assert metrics["latency_p50_ms"] == pytest.approx((27.511 + 41) / 2)
    assert metrics["latency_spread_pct"] == pytest.approx(100 * (41 - 27.511) / 27.511)
    assert (metrics["latency_min_ms"], metrics["inferences"]) == (27.118, 408)
    assert metrics["load_ms"] == pytest.approx((17.187 + 20) / 2)
    assert any("the two repeats differ by 49%" in one for one in found.warnings)


def test_the_delegate_is_that_of_the_entry(spec: DeviceSpec, tools: Path) -> None:
    entry = spec.model_dump(exclude_unset=True)
    measured(DeviceSpec.model_validate({**entry, "execution": {"tflite": {"delegate": "none"}}, "virtual": True}))
    assert "--use_xnnpack=false" in (tools / "asked").read_text()


def test_an_older_program_gives_a_profile_without_a_median(spec: DeviceSpec, program: Program) -> None:
    program(OLDER)
    found = measured(spec, sustained_seconds=10)
    assert not {"latency_p50_ms", "latency_spread_pct", "model_memory_mb"} & found.metrics.keys()
    assert found.metrics["latency_mean_ms"] == pytest.approx(2950.34)
    assert any("no sustained run" in one for one in found.warnings)


def test_what_is_there_is_not_sent_again(spec: DeviceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    original = AdbLink.send

    async def send(self: AdbLink, path: str, data: bytes, offset: int) -> None:
        sent.append(path)
        await original(self, path, data, offset)

    monkeypatch.setattr(AdbLink, "send", send)
    measured(spec)
    measured(spec)
    assert len(sent) == 1


def test_the_model_that_was_used_longest_ago_makes_room(spec: DeviceSpec) -> None:
    folder = Path(str(spec.folder)) / "files"
    folder.mkdir(parents=True)
    old, mine = folder / ("a" * 64), folder / "of the user"
    old.write_bytes(bytes(10**6))
    mine.write_bytes(bytes(10))
    measured(spec.model_copy(update={"cache_mb": 1}))
    assert not old.exists() and mine.exists()


def test_a_damaged_file_on_the_phone_is_sent_again(spec: DeviceSpec) -> None:
    measured(spec)
    (kept,) = (Path(str(spec.folder)) / "files").iterdir()
    kept.write_bytes(b"damaged")
    measured(spec)
    assert kept.read_bytes() == MODEL.files["m.tflite"]


def test_what_android_tells_of_its_heat_is_in_the_profile(spec: DeviceSpec, tools: Path) -> None:
    heat = "Temperature{mValue=61.5, mType=0, mName=CPU7, mStatus=2}"
    text = f"Thermal Status: 2\nCurrent temperatures from HAL:\n\t{heat}\n"
    (tools / "dumpsys").write_text(f"#!/bin/sh\ncase $1 in thermalservice) echo '{text}';; esac\n")
    (tools / "dumpsys").chmod(0o755)
    found = measured(spec)
    assert found.metrics["temperature_max_c"] == 61.5
    assert any("Android's thermal status was moderate" in one for one in found.warnings)
    assert state(spec)["temperature_c"] == 61.5


def test_the_listing_tells_what_it_is_and_what_it_can_do(spec: DeviceSpec) -> None:
    found = state(spec)
    assert found["state"] == "ready" and found["cpu"] == "QCS8550" and found["memory_mb"] > 100 and found["free_mb"] > 0
    assert found["packages"] == {"benchmark_model": "(latency of tflite alone)"}


def test_validation_is_refused_with_the_reason(spec: DeviceSpec) -> None:
    with pytest.raises(DeviceError, match="has no Python, and benchmark_model tells no outputs: validate the model on"):
        next(iter(connect(spec).infer(MODEL, [IMAGES], threads=1, time_limit_s=10, target=TARGET)))


def test_a_model_of_another_runtime_is_refused(spec: DeviceSpec) -> None:
    model = Artifact("compiled", {"m.onnx": b"x"}, details={"runtime": "onnx", "model": "m.onnx"})
    with pytest.raises(DeviceError, match="runs tflite alone"):
        connect(spec).profile(model, IMAGES, ProfileSettings(), TARGET)


def test_the_check_of_a_device_says_what_it_cannot_do(spec: DeviceSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_pipeline.selftest._model", lambda runtime: (MODEL, IMAGES))
    steps = {(one.name, one.ok): one.told for one in selftest("phone", spec)}
    assert "outputs are not compared: the phone has no Python" in steps["tflite", None]
    assert steps["tflite: measures", True] == "p50 27.511 ms"
    assert "power" in steps["tflite: cannot measure", None]
    assert not any(ok is False for _, ok in steps)


def test_a_missing_program_says_what_to_do(spec: DeviceSpec, tools: Path) -> None:
    (tools / "benchmark_model").unlink()
    assert "build LiteRT's benchmark_model for its processor and `adb push benchmark_model" in refused(spec)
    assert "there is no" in state(spec)["problem"]


def test_a_program_that_is_not_executable(spec: DeviceSpec, tools: Path) -> None:
    (tools / "benchmark_model").chmod(0o644)
    assert "cannot be run on the phone: `adb shell chmod 755" in refused(spec)


def test_a_program_for_another_processor(spec: DeviceSpec, tools: Path) -> None:
    (tools / "benchmark_model").write_bytes(b"\x7fELF" + bytes(60))
    assert "it must be made for the phone's processor" in refused(spec)


def test_a_program_that_crashes_or_refuses_is_told_with_its_words(spec: DeviceSpec, program: Program) -> None:
    program("ERROR: Failed to build the interpreter\n", status=1)
    told = refused(spec)
    assert "ended with exit status 1" in told and "Failed to build the interpreter" in told
    program("", before="kill -SEGV $$")
    assert "it was ended by signal 11" in refused(spec)


def test_garbage_and_a_flood_are_refused(spec: DeviceSpec, program: Program) -> None:
    program("\x1b[31mno numbers here\n")
    assert "this is not what benchmark_model prints" in refused(spec)
    program("", before="head -c 20000000 /dev/zero")
    assert "more than the" in refused(spec)


def test_another_version_without_a_flag(spec: DeviceSpec, program: Program) -> None:
    program("WARN: Unconsumed cmdline flags: --warmup_min_secs=0\n" + NEW)
    assert "this version of benchmark_model does not know --warmup_min_secs=0" in refused(spec)


def test_fewer_inferences_than_wanted_are_no_measurement(spec: DeviceSpec) -> None:
    assert "ran 102 of 200 inferences: raise `time_limit_s`" in refused(spec, min_inferences=200)


def test_the_time_limit_ends_it_on_the_phone(spec: DeviceSpec, program: Program) -> None:
    program("", before="exec sleep 30")
    assert "stopped after its time limit of 1 s" in refused(spec, time_limit_s=1)


def test_a_phone_that_is_lost_meanwhile_is_measured_once_it_is_back(spec: DeviceSpec, phone: Adbd) -> None:
    lost: list[str] = []

    def go(command: str) -> None:
        if "--num_runs" in command and not lost:
            lost.append(command)
            phone.stop()
            threading.Timer(0.3, phone.start).start()

    phone.on_command = go
    assert measured(spec).metrics["inferences"] == 204 and lost


def test_a_link_that_is_cut_late_in_a_long_run_is_had_again(
    spec: DeviceSpec, phone: Adbd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_pipeline.devices.boards.board.PATIENCE_S", 1.5)
    lost: list[str] = []

    def go(command: str) -> None:
        if "--num_runs" in command and not lost:
            lost.append(command)
            time.sleep(1.7)
            phone.drop()

    phone.on_command = go
    assert measured(spec).metrics["inferences"] == 204 and lost


def test_a_phone_that_dies_and_an_exit_status_of_0_are_an_error(
    spec: DeviceSpec, phone: Adbd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_pipeline.devices.boards.board.PATIENCE_S", 0.5)

    def die(command: str) -> None:
        if "--num_runs" in command:
            phone.answers = 0

    phone.on_command = die
    assert "the link stayed lost" in refused(spec)


def test_two_jobs_run_one_after_the_other(
    spec: DeviceSpec, program: Program, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones, "BUSY_S", 0.1)
    program(before=f"mkdir {tools}/running || exit 9; sleep 0.3; rmdir {tools}/running")

    async def both() -> list[str]:
        jobs = [connect(spec)._device._phone().run_program(b"model", ["--graph={model}"], 20) for _ in range(2)]  # type: ignore[attr-defined]
        return list(await asyncio.gather(*jobs))

    assert [text.strip() for text in wait_for(both())] == [NEW.strip()] * 2


def test_a_shell_without_the_programs_that_it_takes(
    spec: DeviceSpec, phone: Adbd, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phones, "NEEDED", ("flock", "no-such-program"))
    assert "the phone's shell has no no-such-program: Android 8 or newer" in refused(spec)
