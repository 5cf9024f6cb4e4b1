"""An adbd of our own: what answers to `adb` on a device, with this machine's shell behind it, and faults on demand.

A message of the protocol is six little-endian numbers of 32 bits (command, two arguments, length, sum of the content's
bytes, inverse of the command) and the content. After CNXN from both sides the host opens streams with OPEN; each side
names a stream by a number of its own; each WRTE is answered with OKAY before the next; CLSE ends a stream.
"""

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Any

CNXN, OPEN, OKAY, CLSE, WRTE, AUTH = (
    int.from_bytes(name, "little") for name in (b"CNXN", b"OPEN", b"OKAY", b"CLSE", b"WRTE", b"AUTH")
)
VERSION, MOST = 0x01000001, 2**18
TOKEN = 1
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Adbd:
    """A device on a port of this machine.

    Attributes:
        mute: whether it says nothing, as one that hangs: it stays offline.
        trusting: whether it lets the host in without asking the user.
        features: what it can do.
        on_command: called with each command before it runs; a fault is what it does.
        on_input: called with the bytes of each input that arrived so far.
        answers: the exit status told instead of running commands, and nothing else.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.mute = False
        self.trusting = True
        self.features = "shell_v2,cmd"
        self.on_command: Callable[[str], None] = lambda command: None
        self.on_input: Callable[[int], None] = lambda size: None
        self.answers: int | None = None
        self.environment = dict(environment)
        self.port = 0
        self._listener: socket.socket | None = None
        self._hosts: list[socket.socket] = []

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, args=[self._listener], daemon=True).start()

    def stop(self) -> None:
        """Be gone: break off all connections and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()

    def drop(self) -> None:
        """Break off all connections, as a cable that is pulled out."""
        hosts, self._hosts = self._hosts, []
        for host in hosts:
            with contextlib.suppress(OSError):
                host.shutdown(socket.SHUT_RDWR)

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                host, _ = listener.accept()
                self._hosts.append(host)
                threading.Thread(target=_Host(self, host).serve, daemon=True).start()


class _Host:
    """The connection to one adb server."""

    def __init__(self, device: Adbd, link: socket.socket) -> None:
        self._device, self._link = device, link
        self._sending = threading.Lock()
        self._streams: dict[int, _Stream] = {}
        self._opened = 0

    def send(self, command: int, first: int, second: int, content: bytes = b"") -> None:
        head = struct.pack("<6I", command, first, second, len(content), sum(content), command ^ 0xFFFFFFFF)
        with self._sending:
            self._link.sendall(head + content)

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def serve(self) -> None:
        try:
            while True:
                command, first, second, size, _, _ = struct.unpack("<6I", self._exactly(24))
                self._handle(command, first, second, self._exactly(size))
        except (OSError, EOFError):
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self._link.close()

    def _handle(self, command: int, first: int, second: int, content: bytes) -> None:
        stream = self._streams.get(second)
        if self._device.mute:
            return
        if command == CNXN and self._device.trusting:
            banner = f"device::ro.product.model=Edge;features={self._device.features}"
            self.send(CNXN, VERSION, MOST, banner.encode())
        elif command in (CNXN, AUTH):
            if (
                command == CNXN or first == 2
            ):  # a signature: by a key that we do not know; then the key: nobody confirms
                self.send(AUTH, TOKEN, 0, os.urandom(20))
        elif command == OPEN:
            self._open(first, content.rstrip(b"\0").decode())
        elif command == WRTE and stream:
            stream.arrived.put(content)
            self.send(OKAY, second, first)
        elif command == OKAY and stream:
            stream.taken.set()
        elif command == CLSE and stream:
            self.forget(second)
            stream.end()

    def _open(self, remote: int, service: str) -> None:
        kind, _, command = service.partition(":")
        if not kind.startswith("shell,v2"):
            self.send(CLSE, 0, remote)
            return
        self._opened += 1
        stream = self._streams[self._opened] = _Stream(self, self._opened, remote)
        self.send(OKAY, self._opened, remote)
        threading.Thread(target=stream.shell, args=[self._device, command], daemon=True).start()

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            part = self._link.recv(size - len(found))
            if not part:
                raise EOFError
            found += part
        return bytes(found)


class _Stream:
    """One command of the host."""

    def __init__(self, host: _Host, local: int, remote: int) -> None:
        self._host, self._local, self._remote = host, local, remote
        self.arrived: queue.Queue[bytes | None] = queue.Queue()
        self.taken = threading.Event()
        self._writing = threading.Lock()
        self._ended = False
        self._process: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        """Be told that the host is not there any more: the command ends too."""
        self._ended = True
        self.taken.set()
        self.arrived.put(None)
        process = self._process
        if process and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def shell(self, device: Adbd, command: str) -> None:
        with contextlib.suppress(OSError):
            device.on_command(command)
            status = self._run(device, command) if device.answers is None else device.answers
            self._write(EXIT, bytes([status]))
            if not self._ended:
                self._host.forget(self._local)
                self._host.send(CLSE, self._local, self._remote)

    def _run(self, device: Adbd, command: str) -> int:
        process = self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=device.environment,
            start_new_session=True,
        )
        if self._ended:
            self.end()
        threading.Thread(target=self._feed, args=[device, process.stdin], daemon=True).start()
        pumps = [
            threading.Thread(target=self._pump, args=[kind, pipe], daemon=True)
            for kind, pipe in ((STDOUT, process.stdout), (STDERR, process.stderr))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        return process.wait() & 0xFF

    def _feed(self, device: Adbd, pipe: Any) -> None:
        """Give the packets of the input to the process; what it does not take is dropped."""
        waiting, size = b"", 0
        with contextlib.suppress(OSError, ValueError):
            while (content := self.arrived.get()) is not None:
                waiting += content
                while len(waiting) >= 5 and len(waiting) >= 5 + (length := int.from_bytes(waiting[1:5], "little")):
                    kind, packet, waiting = waiting[0], waiting[5 : 5 + length], waiting[5 + length :]
                    if kind == CLOSE_STDIN:
                        pipe.close()
                    elif kind == STDIN and not pipe.closed:
                        size += len(packet)
                        pipe.write(packet)
                        pipe.flush()
                        device.on_input(size)

    def _pump(self, kind: int, pipe: Any) -> None:
        with contextlib.suppress(OSError):
            while content := os.read(pipe.fileno(), 2**15):
                self._write(kind, content)

    def _write(self, kind: int, content: bytes) -> None:
        """Send a packet of the shell protocol, and wait until it is taken."""
        with self._writing:
            if self._ended:
                raise BrokenPipeError
            self.taken.clear()
            packet = bytes([kind]) + len(content).to_bytes(4, "little") + content
            self._host.send(WRTE, self._local, self._remote, packet)
            self.taken.wait()
