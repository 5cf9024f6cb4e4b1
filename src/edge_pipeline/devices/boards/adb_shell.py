"""One command of a device's shell, with its input, over the adb server.

adb has two protocols for that. The second one is used, which keeps the output and the errors apart and ends the input:
packets of a byte for their kind, four for the length, and the content.
"""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.boards.link import Heard, LinkLostError

STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
"""Kinds of packets."""

PACKET = 2**16
"""Bytes of the input that are sent in one."""

LARGEST = 2**24
"""More than a packet of a device ever has."""


@contextlib.contextmanager
def reaching() -> Iterator[None]:
    """Do what needs the adb server and, mostly, the device.

    Raises:
        LinkLostError: one of them is not there.
    """
    import adbutils

    try:
        yield
    except (adbutils.AdbError, OSError, EOFError, ValueError, subprocess.SubprocessError) as error:
        raise LinkLostError(str(error) or type(error).__name__) from error


class Command:
    """A command that another thread may end while it runs."""

    def __init__(self, device: Any) -> None:
        self._device = device
        self._ended = threading.Event()
        self._connection: Any = None

    def run(
        self, command: str, data: bytes, time_limit_s: float, most: int, heard: Heard | None = None
    ) -> tuple[bytes, bytes]:
        """Give `command` to the shell and `data` to it as its input; return its output and its errors.

        `heard` is given each part of the output as it comes.

        Raises:
            LinkLostError: the device is gone, or the command did not end in time.
            DeviceError: it printed more than `most` bytes.
        """
        until = time.monotonic() + time_limit_s
        found: dict[int, bytearray] = {STDOUT: bytearray(), STDERR: bytearray()}
        with reaching(), self._device.open_transport(timeout=time_limit_s) as connection:
            self._connection = connection.conn
            if self._ended.is_set():
                raise LinkLostError("ended")
            connection.send_command(f"shell,v2,raw:{command}")
            connection.check_okay()
            for start in range(0, len(data), PACKET):
                _put(connection, STDIN, data[start : start + PACKET])
            _put(connection, CLOSE_STDIN, b"")
            while True:
                connection.conn.settimeout(max(0.01, until - time.monotonic()))
                kind, content = _get(connection)
                if kind == EXIT:
                    return bytes(found[STDOUT]), bytes(found[STDERR])
                if kind in found:
                    found[kind] += content
                if sum(map(len, found.values())) > most:
                    raise DeviceError(f"the device sent more than the {most} bytes that are expected", "damaged")
                if heard and kind == STDOUT:
                    heard(content.decode("utf-8", "replace"))

    def end(self) -> None:
        """Let `run` end at once; the device then ends the command."""
        self._ended.set()
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)


def _put(connection: Any, kind: int, content: bytes) -> None:
    connection.conn.sendall(bytes([kind]) + len(content).to_bytes(4, "little") + content)


def _get(connection: Any) -> tuple[int, bytes]:
    head = connection.read_exact(5)
    size = int.from_bytes(head[1:], "little")
    if size > LARGEST:
        raise DeviceError(f"the device sent a packet of {size} bytes, which is no packet of its shell", "damaged")
    return head[0], connection.read_exact(size)
