"""A device behind ADB: the same numbers as on this machine, and nothing left behind."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.boards.adb_link import AdbLink
from edge_pipeline.devices.boards.board import BLOCK
from edge_pipeline.devices.boards.bundle import bundle
from edge_pipeline.devices.inventory import DeviceSpec, connect, state
from edge_pipeline.devices.settings import ProfileSettings

LIMITS: dict[str, Any] = {"threads": 1, "time_limit_s": 60.0, "target": "digits@phone/onnx/w8a8"}


def outputs(spec: DeviceSpec, artifact: Artifact, images: Any) -> Any:
    (found,) = connect(spec).infer(artifact, [(images,)], **LIMITS)
    return found[0]


def kept(spec: DeviceSpec, what: str) -> set[str]:
    return {path.name for path in (Path(str(spec.folder)) / what).iterdir()}


def test_the_numbers_of_an_onnx_model_are_those_of_this_machine(
    board: DeviceSpec, artifact: Artifact, images: Any
) -> None:
    wanted = outputs(DeviceSpec(kind="host"), artifact, images[:5])
    np.testing.assert_array_equal(outputs(board, artifact, images[:5]), wanted)
    assert kept(board, "runs") == set()
    sums = {hashlib.sha256(data).hexdigest() for data in (artifact.files["model.onnx"], bundle())}
    assert sums < kept(board, "files")
    assert len(kept(board, "files")) == 3


@pytest.mark.slow
def test_the_numbers_of_a_tflite_model_are_those_of_this_machine(
    board: DeviceSpec, litert_compiled: dict[Precision, Artifact], images: Any
) -> None:
    for artifact in litert_compiled.values():
        wanted = outputs(DeviceSpec(kind="host"), artifact, images[:5])
        np.testing.assert_array_equal(outputs(board, artifact, images[:5]), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_a_profile_has_what_a_profile_of_this_machine_has(
    board: DeviceSpec, runtime: str, images: Any, request: pytest.FixtureRequest
) -> None:
    name = {"onnx": "onnx_compiled", "tflite": "litert_compiled"}[runtime]
    artifact, settings = request.getfixturevalue(name)[Precision.W8A8], ProfileSettings()
    here, there = (
        connect(spec).profile(artifact, (images[:4],), settings, "digits@phone")
        for spec in (DeviceSpec(kind="host"), board)
    )
    assert there.metrics.keys() == here.metrics.keys()
    assert [layer.name for layer in there.layers] == [layer.name for layer in here.layers]
    assert there.runtime_version == here.runtime_version
    assert there.device["kind"] == "adb"
    assert len(there.repeats) == 2 and min(len(one.samples_ms) for one in there.repeats) >= 100


@pytest.mark.slow
def test_a_profile_has_what_android_tells_of_its_heat(
    board: DeviceSpec, tools: Path, artifact: Artifact, images: Any
) -> None:
    heat = "Temperature{mValue=61.5, mType=0, mName=CPU7, mStatus=2}"
    text = f"Thermal Status: 2\nCurrent temperatures from HAL:\n\t{heat}\n"
    (tools / "dumpsys").write_text(f"#!/bin/sh\ncase $1 in thermalservice) echo '{text}';; esac\n")
    (tools / "dumpsys").chmod(0o755)
    found = connect(board).profile(artifact, (images[:4],), ProfileSettings(), "digits@phone")
    assert any("Android's thermal status was moderate" in one for one in found.warnings)
    if not list(Path("/sys/class/thermal").glob("thermal_zone*")) and not list(Path("/sys/class/hwmon").glob("*")):
        assert found.metrics["temperature_max_c"] == 61.5


def test_what_is_there_is_not_sent_again(
    board: DeviceSpec, artifact: Artifact, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = outputs(board, artifact, images[:2])

    async def refuse(*_: Any) -> None:
        raise AssertionError("sent again")

    monkeypatch.setattr(AdbLink, "send", refuse)
    np.testing.assert_array_equal(outputs(board, artifact, images[:2]), first)


def test_a_push_goes_on_where_it_was_cut(
    board: DeviceSpec, phone: Any, artifact: Artifact, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third block of the inputs is cut in its middle; it alone is sent again."""
    many = np.repeat(images[:1], 3 * BLOCK // images[:1].nbytes + 1, axis=0)
    sent: list[int] = []
    original = AdbLink.send

    async def send(self: AdbLink, path: str, data: bytes, offset: int) -> None:
        sent.append(offset)
        await original(self, path, data, offset)

    def cut(size: int) -> None:
        if sent[-1:] == [2 * BLOCK] and size >= BLOCK // 2:
            phone.on_input = lambda size: None
            phone.drop()

    monkeypatch.setattr(AdbLink, "send", send)
    phone.on_input = cut
    np.testing.assert_array_equal(
        outputs(board, artifact, many)[:2], outputs(DeviceSpec(kind="host"), artifact, images[[0, 0]])
    )
    blocks = [one for one in sent if one]
    late = [BLOCK, 2 * BLOCK, 3 * BLOCK]  # on a busy machine the block has arrived whole before it is cut
    assert blocks in ([BLOCK, 2 * BLOCK, 2 * BLOCK, 3 * BLOCK], late)


def test_the_device_tells_what_it_is(board: DeviceSpec) -> None:
    found = state(board)
    assert found["state"] == "ready", found
    assert found["system"].startswith("Edge Phone, Android 14, Linux ")
    assert "QCS8550" in found["hardware"]
    assert found["packages"]["numpy"] == np.__version__


def test_a_device_that_runs_another_job_is_busy(board: DeviceSpec) -> None:
    import fcntl

    folder = Path(str(board.folder))
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert state(board)["state"] == "busy"
