"""An emulated aarch64 Linux board that answers over SSH on loopback."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.arm.image import QEMU_CPU, image

NEEDED = ("qemu-aarch64-static", "apt-get", "dpkg-deb", "unshare", "setpriv", "ssh-keygen")
BOOT_S = 30.0
CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host
AuthorizedKeysFile /etc/ssh/authorized
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
Subsystem sftp internal-sftp
"""


@contextlib.contextmanager
def emulated_board(folder: Path, lacking: Callable[[str], None]) -> Iterator[DeviceSpec]:
    """Boot the board and yield it as a device; all its processes end with the block, or with this process.

    Args:
        folder: an empty one for its keys.
        lacking: is called with what this machine does not offer.
    """
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        lacking(f"the emulated board needs {', '.join(missing)}")
    if os.getuid() != 0:
        lacking("the emulated board needs root, to give it users of its own")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _lay_out(folder, port)
    with _booted(image(), folder, port, lacking):
        yield DeviceSpec(
            kind="ssh",
            address=f"edge@127.0.0.1:{port}",
            keys=(folder / "user",),
            known_hosts=folder / "known_hosts",
            virtual=True,
        )


def _lay_out(folder: Path, port: int) -> None:
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "sshd_config").write_text(CONFIGURATION.format(port=port))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "board").mkdir()


@contextlib.contextmanager
def _booted(root: Path, folder: Path, port: int, lacking: Callable[[str], None]) -> Iterator[None]:
    namespaces = ["unshare", "--user", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
    boot = ["sh", str(Path(__file__).with_name("boot.sh")), str(root), str(folder), QEMU_CPU]
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *namespaces, *boot],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    assert process.stdin and process.stdout
    try:
        if process.stdout.readline() != b"namespaces\n":
            process.wait(BOOT_S)
            lacking(f"no namespaces of its own for the emulated board: {log.read_text()}")
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{kind}").write_text("0 0 65536")
        process.stdin.write(b"\n")
        process.stdin.flush()
        deadline = time.monotonic() + BOOT_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"the emulated board did not boot: {log.read_text()}")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.read()  # ends with the last of the board's processes
        process.stdin.close()
        process.stdout.close()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as peer:
        peer.settimeout(5)
        return peer.recv(4) == b"SSH-"
    return False
