"""An OpenSSH server on loopback, as a board."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.devices.inventory import DeviceSpec

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""


@dataclass
class Server:
    """An sshd of our own, which can be stopped and started again."""

    folder: Path
    port: int
    program: str
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [self.program, "-D", "-f", f"{self.folder}/conf", "-E", f"{self.folder}/log"]
        self.process = subprocess.Popen(command, start_new_session=True)
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            time.sleep(0.05)
        raise TimeoutError((self.folder / "log").read_text())

    def stop(self) -> None:
        """Kill it with all its connections."""
        if self.process is None:
            return
        for child in self._children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.process = None

    def _children(self, parent: int) -> list[int]:
        """Return the server's processes for single connections, not what runs in them."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().partition(") ")
                if int(rest.split()[1]) == parent and "sshd" in name:
                    child = int(path.parent.name)
                    found += [*self._children(child), child]
        return found


@pytest.fixture(scope="session")
def sshd(lacking: Callable[[str], None], needs: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    needs("asyncssh")
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        lacking("there is no sshd")
    assert program
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "conf").write_text(CONFIGURATION.format(port=port, folder=folder))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = Server(folder, port, program)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def board(sshd: Server, tmp_path: Path) -> DeviceSpec:
    """The server as a device with this Python, and nothing on it yet."""
    if sshd.process is None:
        sshd.start()
    import getpass

    return DeviceSpec(
        kind="ssh",
        address=f"{getpass.getuser()}@127.0.0.1:{sshd.port}",
        keys=(sshd.folder / "user",),
        known_hosts=sshd.folder / "known_hosts",
        python=sys.executable,
        folder=str(tmp_path / "board"),
    )


@pytest.fixture
def wrapped(board: DeviceSpec, tmp_path: Path) -> Callable[..., DeviceSpec]:
    """Return a function that puts shell code before the board's Python, where it runs a job's agent or any step."""

    def make(agent: str = ":", step: str = ":", **changes: Any) -> DeviceSpec:
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\ncase "$1" in\n*.pyz) {agent} ;;\n*) {step} ;;\nesac\nexec {sys.executable} "$@"\n'
        )
        script.chmod(0o755)
        return DeviceSpec.model_validate(
            {**board.model_dump(exclude_unset=True), "python": str(script), "retry": {"attempts": 1}, **changes}
        )

    return make
