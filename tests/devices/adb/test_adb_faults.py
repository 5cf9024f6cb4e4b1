"""What may go wrong with a device behind ADB, and what is said then."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact
from edge_pipeline.devices.boards import adb_link, jobs
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.boards.link import LinkLostError
from edge_pipeline.devices.inventory import DeviceSpec, connect, state

Act = Callable[..., Any]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "FIRST_S", 0.3)
    monkeypatch.setattr(boards, "PATIENCE_S", 1.0)


@pytest.fixture
def on_link(board: DeviceSpec) -> Act:
    """Return a function that connects and calls a method of the link."""

    def act(method: str, *arguments: Any) -> Any:
        async def whole() -> Any:
            link = await adb_link.connect("phone", str(board.address))
            return await getattr(link, method)(*arguments)

        return asyncio.run(whole())

    return act


def outputs(spec: DeviceSpec, artifact: Artifact, images: Any) -> Any:
    (found,) = connect(spec).infer(artifact, [(images,)], threads=1, time_limit_s=60.0, target="digits@phone")
    return found[0]


def refused(spec: DeviceSpec, artifact: Artifact, images: Any) -> str:
    with pytest.raises(DeviceError) as raised:
        outputs(spec, artifact, images[:2])
    return str(raised.value)


def test_a_command_has_its_input_and_its_errors_are_told(on_link: Act) -> None:
    assert on_link("run", "cat; echo noise >&2", "hello", 10.0) == "hello"
    with pytest.raises(DeviceError, match=r"ended with exit status 3: too bad"):
        on_link("run", "echo too bad >&2; (exit 3)", "", 10.0)


def test_a_command_that_does_not_end_is_a_lost_link_and_ended_on_the_device(
    on_link: Act, alive: Callable[[int], bool], eventually: Act, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with pytest.raises(LinkLostError):
        on_link("run", f"echo $$ > {tmp_path}/pid; sleep 60", "", 1.0)
    assert time.monotonic() - begun < 10
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_device_that_dies_in_the_middle_of_a_command_is_a_lost_link(
    on_link: Act, phone: Any, alive: Callable[[int], bool], eventually: Act, tmp_path: Path
) -> None:
    def die(size: int) -> None:
        eventually((tmp_path / "pid").exists)
        phone.stop()

    phone.on_input = die
    with pytest.raises(LinkLostError):
        on_link("run", f"echo $$ > {tmp_path}/pid; sleep 60", "input", 50.0)
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_an_exit_status_0_of_a_command_that_was_not_done_is_not_believed(on_link: Act, phone: Any) -> None:
    phone.answers = 0
    with pytest.raises(LinkLostError, match="in the middle of a command"):
        on_link("run", "echo done", "", 10.0)


def test_ctrl_c_ends_a_command_at_once(on_link: Act, phone: Any, eventually: Act, tmp_path: Path) -> None:
    def stop() -> None:
        eventually((tmp_path / "pid").exists)
        jobs.stop_all()

    async def whole() -> None:
        link = await adb_link.connect("phone", f"127.0.0.1:{phone.port}")
        await link.run(f"echo $$ > {tmp_path}/pid; sleep 60", "", 50.0)

    begun = time.monotonic()
    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        with pytest.raises(asyncio.CancelledError):
            jobs.wait_for(whole())
    finally:
        stopper.join()
        jobs.allow()
    assert time.monotonic() - begun < 10


def test_a_file_is_written_from_an_offset_on_and_received_whole(on_link: Act, tmp_path: Path) -> None:
    file = tmp_path / "a file's name"
    data = np.random.default_rng(0).bytes(300_001)
    on_link("send", str(file), data[:200_000] + b"damaged", 0)
    on_link("send", str(file), data[200_000:], 200_000)
    assert file.read_bytes() == data
    assert on_link("receive", str(file), 300_001) == data
    with pytest.raises(DeviceError, match="has 300001 bytes, more than the 300000 that are expected"):
        on_link("receive", str(file), 300_000)
    with pytest.raises(DeviceError, match="cannot be read"):
        on_link("receive", str(tmp_path / "nothing"), 10)


def test_a_full_disk_is_told(on_link: Act, small_disk: Path) -> None:
    with pytest.raises(DeviceError, match="the device's disk is full: free some"):
        on_link("send", str(small_disk / "file"), bytes(200_000), 0)


def test_a_device_that_breaks_off_for_good_is_an_error(
    board: DeviceSpec, phone: Any, artifact: Artifact, images: Any
) -> None:
    def die(command: str) -> None:
        if " - start " in command:
            phone.stop()

    phone.on_command = die
    told = refused(board, artifact, images)
    assert "the link stayed lost" in told
    assert not list((Path(str(board.folder)) / "runs").iterdir())


@pytest.mark.parametrize("step", ["prepare", "commit", "start", "state"])
def test_a_device_that_is_offline_for_a_moment_changes_nothing(
    board: DeviceSpec, phone: Any, artifact: Artifact, images: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """adb would try again after ten seconds by itself."""
    monkeypatch.setattr(boards, "PATIENCE_S", 8.0)
    lost: list[str] = []

    def go_offline(command: str) -> None:
        if f" - {step} " in command and not lost:
            lost.append(command)
            phone.stop()
            threading.Timer(0.5, phone.start).start()

    phone.on_command = go_offline
    wanted = outputs(DeviceSpec(kind="host"), artifact, images[:3])
    np.testing.assert_array_equal(outputs(board, artifact, images[:3]), wanted)
    assert lost
    assert not list((Path(str(board.folder)) / "runs").iterdir())


def test_a_device_that_adb_lists_as_offline_is_connected_again(
    board: DeviceSpec, phone: Any, adb: Callable[..., str], eventually: Act
) -> None:
    assert state(board)["state"] == "ready"
    phone.stop()
    eventually(lambda: f"{board.address}\toffline" in adb("devices"), 5)
    phone.start()
    assert state(board)["state"] == "ready"


@pytest.mark.slow
def test_a_device_that_hung_when_adb_connected_to_it_is_connected_again(
    board: DeviceSpec, phone: Any, adb: Callable[..., str], eventually: Act
) -> None:
    phone.mute = True
    adb("connect", str(board.address))
    eventually(lambda: f"{board.address}\toffline" in adb("devices"), 5)
    phone.mute = False
    assert state(board)["state"] == "ready"


def test_a_device_without_an_address_that_is_offline_is_connected_again(
    phone: Any, adb: Callable[..., str], eventually: Act
) -> None:
    """An emulator stands for a cable: adb may be told to look for one at a port, but lists no port for it."""
    import adbutils

    serial = f"emulator-{phone.port - 1}"
    phone.mute = True
    with adbutils.AdbClient().make_connection() as connection:
        connection.send_command(f"host:emulator:{phone.port}")
        eventually(lambda: f"{serial}\toffline" in adb("devices"), 5)
    spec = DeviceSpec(kind="adb", address=serial, python=sys.executable, folder=phone.environment["HOME"])
    assert "is 'offline' in `adb devices`: reconnecting" in state(spec)["problem"]
    phone.mute = False
    assert state(spec)["state"] == "ready"


def test_a_device_that_does_not_trust_this_machine(board: DeviceSpec, phone: Any) -> None:
    phone.trusting = False
    found = state(board)
    assert found["state"] == "unreachable"
    assert "does not trust this machine yet: unlock its screen and confirm" in found["problem"]


def test_an_unknown_serial_is_told_with_those_that_there_are(board: DeviceSpec) -> None:
    assert state(board)["state"] == "ready"
    told = state(DeviceSpec(kind="adb", address="R58M123ABC"))["problem"]
    assert f"there is no device 'R58M123ABC'; adb knows {board.address}" in told


def test_an_unknown_serial_where_adb_knows_none(adb: Act) -> None:
    assert "adb knows no device at all" in state(DeviceSpec(kind="adb", address="R58M123ABC"))["problem"]


def test_a_device_in_the_network_that_is_not_there_is_told_in_the_words_of_adb(adb: Act) -> None:
    told = state(DeviceSpec(kind="adb", address="127.0.0.1:1"))["problem"]
    assert "there is no device '127.0.0.1:1'" in told and "onnection refused" in told


def test_a_device_without_the_second_protocol_of_the_shell(board: DeviceSpec, phone: Any) -> None:
    phone.features = "cmd"
    assert "Android 7 or newer is needed" in state(board)["problem"]


@pytest.mark.parametrize("python", ["/data/local/tmp/python/bin/python3", "no-python"])
def test_a_phone_without_python_says_what_to_do(
    board: DeviceSpec, artifact: Artifact, images: Any, python: str
) -> None:
    bare = board.model_copy(update={"python": python})
    for told in (state(bare)["problem"], refused(bare, artifact, images)):
        assert python in told
        assert "name it with `python`" in told and "Termux" in told and "`benchmark_model`" in told


def test_a_python_without_the_runtime(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    bare = board.model_copy(update={"python": f"{sys.executable} -S"})
    assert "No module named 'numpy'" in refused(bare, artifact, images)


def test_a_machine_without_adb_says_what_to_install(
    adb_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import adbutils

    monkeypatch.setattr(adbutils._utils, "_get_bin_dir", lambda: str(tmp_path))
    monkeypatch.delenv("ADBUTILS_ADB_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    told = state(DeviceSpec(kind="adb", address="R58M123ABC"))["problem"]
    assert "the program adb is missing" in told and "apt-get install adb" in told


def test_a_server_that_is_not_running_is_started(
    adb_server: tuple[str, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, adb: Callable[..., str]
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "1")
    try:
        assert "adb knows no device at all" in state(DeviceSpec(kind="adb", address="R58M123ABC"))["problem"]
    finally:
        adb("kill-server")
