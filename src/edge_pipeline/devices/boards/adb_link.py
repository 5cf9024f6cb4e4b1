"""A link over ADB, through the adb server of this machine.

Everything is a command of the device's shell, files too: adb's own file transfer neither resumes nor has a time limit.
"""

import asyncio
import re
import secrets
import shlex
import time
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.boards.adb_shell import Command, reaching
from edge_pipeline.devices.boards.link import Heard, LinkLostError

CONNECT_S = 10.0
FILE_S = 60.0
"""Seconds that a block may take, or a result."""

ANSWER_BYTES = 2**22
"""Most that a command may print, other than a file."""

MORE_BYTES = 2**16
"""What may come with a file: its size, the mark, warnings."""

NOT_THERE = (126, 127)
"""Exit statuses of the shell when it cannot run a program."""


def check_serial(text: str) -> str:
    """Return the serial that `text` names.

    Raises:
        ValueError: it is none.
    """
    serial = text.removeprefix("adb://")
    if not re.fullmatch(r"\w[\w.:\-]*", serial, re.ASCII):
        raise ValueError(f"'{text}' is no serial of `adb devices`, such as R58M123ABC or 192.0.2.8:5555")
    return serial


class AdbLink:
    """A device of the adb server."""

    def __init__(self, device: Any) -> None:
        self._device = device

    async def run(self, command: str, text: str, time_limit_s: float, heard: Heard | None = None) -> str:
        """See `Link`."""
        status, output, errors = await self._shell(command, text.encode(), time_limit_s, ANSWER_BYTES, heard)
        if status in NOT_THERE:
            raise DeviceError(
                f"the device cannot run its Python: {errors[-300:]}. Android has none: put one with NumPy and the "
                "runtimes below /data/local/tmp and name it with `python` of the device; or run Termux's SSH server on "
                "the phone, whose Python only Termux may run, and make it a device of kind ssh; or name LiteRT's "
                "program with `benchmark_model`, which needs no Python and tells latencies of tflite models alone"
            )
        if status != 0:
            raise DeviceError(f"the command ended with exit status {status}: {errors[-600:]}")
        return output.decode("utf-8", "replace")

    async def send(self, path: str, data: bytes, offset: int) -> None:
        """See `Link`; what the file has beyond `offset` is cut off first."""
        file = shlex.quote(path)
        begin = f"truncate -s {offset} {file} && cat >> {file}" if offset else f"cat > {file}"
        status, output, errors = await self._shell(f"{begin} && stat -c %s {file}", data, FILE_S, MORE_BYTES)
        if status != 0:
            full = "the device's disk is full: free some, or lower `cache_mb`: " if "No space left" in errors else ""
            raise DeviceError(f"{path} cannot be written: {full}{errors[-600:]}")
        if output.strip() != str(offset + len(data)).encode():
            raise LinkLostError(f"{path} arrived in part")

    async def receive(self, path: str, limit: int) -> bytes:
        """See `Link`."""
        file = shlex.quote(path)
        command = f"size=$(stat -c %s {file}) && echo $size && if [ $size -le {limit} ]; then cat {file}; fi"
        status, output, errors = await self._shell(command, b"", FILE_S, limit + MORE_BYTES)
        if status != 0:
            raise DeviceError(f"{path} cannot be read: {errors[-600:]}")
        size, _, content = output.partition(b"\n")
        if not size.isdigit():
            raise DeviceError(f"{path} cannot be read: the device does not tell its size", "damaged")
        if int(size) > limit:
            raise DeviceError(f"{path} has {int(size)} bytes, more than the {limit} that are expected")
        if len(content) != int(size):
            raise LinkLostError(f"{path} arrived in part")
        return content

    async def close(self) -> None:
        """See `Link`; each command had a connection of its own."""

    async def _shell(
        self, command: str, data: bytes, time_limit_s: float, most: int, heard: Heard | None = None
    ) -> tuple[int, bytes, str]:
        """Run a command with `data` as its input; return its exit status, output and errors.

        adb may report success for a command whose device went away, so the shell prints the status after a mark.
        """
        mark = secrets.token_hex(8)
        running = Command(self._device)
        try:
            marked = f"{command}\necho {mark}$?"
            output, errors = await asyncio.to_thread(running.run, marked, data, time_limit_s, most, heard)
        except asyncio.CancelledError:
            running.end()
            raise
        content, found, status = output.rpartition(mark.encode())
        if not found or not status.strip().isdigit():
            raise LinkLostError("the device broke off in the middle of a command")
        return int(status), content, errors.decode("utf-8", "replace").strip()


async def connect(name: str, serial: str) -> AdbLink:
    """Return a new link.

    Args:
        name: of the device, for messages.
        serial: as `adb devices` shows it; that of a device in the network is `host:port`.

    Raises:
        DeviceError: adb is not installed, the device does not trust this machine, or its Android is too old.
        LinkLostError: the device is not there, or not now.
    """
    return await asyncio.to_thread(_connect, name, serial)


def _connect(name: str, serial: str) -> AdbLink:
    try:
        import adbutils
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"{name}: a device of kind adb needs `pip install -c constraints.txt 'edge-pipeline[adb]'`"
        ) from error
    client = adbutils.AdbClient()
    states = _states(client, name)
    told = ""
    if states.get(serial, "absent") in ("offline", "absent"):
        told = _call(client, serial, serial in states)
        states = _states(client, name)
    state = states.get(serial)
    if state is None:
        there = f"adb knows {', '.join(sorted(states))}" if states else "adb knows no device at all"
        raise LinkLostError(f"there is no device '{serial}'; {there}{told}")
    if state == "unauthorized":
        raise DeviceError(
            f"{name}: {serial} does not trust this machine yet: unlock its screen and confirm `Allow USB debugging`; "
            "if it does not ask, run `adb reconnect`"
        )
    if state == "no":  # the first word of `no permissions`
        raise DeviceError(
            f"{name}: this user may not open {serial} on USB: install the udev rules of Android devices (package "
            "android-sdk-platform-tools-common), join the group plugdev and plug it in again"
        )
    if state != "device":
        raise LinkLostError(f"{serial} is '{state}' in `adb devices`{told}")
    device = client.device(serial)
    with reaching():
        features = device.get_features().split(",")
    if "shell_v2" not in features:
        raise DeviceError(f"{name}: {serial} has an adb without version 2 of the shell: Android 7 or newer is needed")
    return AdbLink(device)


def _states(client: Any, name: str) -> dict[str, str]:
    """Return the state of every device that the adb server knows; start the server if there is none."""
    try:
        with reaching():
            return {one.serial: one.state for one in client.list()}
    except LinkLostError as error:
        if not _program():
            raise DeviceError(
                f"{name}: the program adb is missing: install Android's platform tools, for instance with "
                "`apt-get install adb`"
            ) from error
        raise LinkLostError(f"the adb server does not answer: {error}; try `adb start-server`") from error


def _program() -> bool:
    import adbutils

    try:
        return bool(adbutils.adb_path())
    except adbutils.AdbError:
        return False


def _call(client: Any, serial: str, known: bool) -> str:
    """Let adb connect to a device that is offline or, in the network, not known yet; return what adb says to that."""
    network = re.search(r":\d+$", serial) is not None
    said = ""
    with reaching():
        if network:
            if known:
                client.disconnect(serial)
            said = client.connect(serial, timeout=CONNECT_S)
        elif known:
            with client.device(serial).open_transport("reconnect", timeout=CONNECT_S) as connection:
                said = connection.read_string_block()
            time.sleep(1)  # until it is back
    return f": {said.strip()}" if said else ""
