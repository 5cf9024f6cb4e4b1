"""How long eight boards take, against one: `kedro run --tags profile,validate` of a small model.

    python benchmarks/boards/many.py            # needs sshd; nothing outside of loopback is reached

The boards are logins of one SSH server on loopback. Their engine is ONNX Runtime with a pause of 20 ms in each
inference (stand_in.py): like that of a real board it leaves this machine's processor alone while it computes. What the
boards' Python does besides is work of this machine here, so that real boards fare better than these.
"""

import argparse
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

MOST = 16
"""Addresses that an SSH server can listen on."""

ROOT = Path(__file__).parents[2]
SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PidFile none
MaxStartups 100
Subsystem sftp internal-sftp
"""


def main() -> None:
    """Measure and print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=8, choices=range(2, MOST + 1))
    parser.add_argument("--seconds", type=float, default=20.0, help="timed in each of two repeats")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as port:
        folder = Path(name)
        seconds = {}
        for count in (1, chosen.boards):
            project = folder / f"project{count}"
            shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "data", "mlartifacts", "mlflow.db"))
            configure(project, folder, port, count, chosen.seconds)
            kedro(project, "--tags", "split,finetune,quantize,export,compile")
            begun = time.monotonic()
            kedro(project, "--tags", "profile,validate")
            seconds[count] = time.monotonic() - begun
            print(f"{count} board(s): {seconds[count]:.0f} s", flush=True)
        print(f"ratio: {seconds[chosen.boards] / seconds[1]:.2f}")


def configure(project: Path, folder: Path, port: int, count: int, seconds: float) -> None:
    """Write a configuration of digits on `count` boards."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={Path(__file__).parent / "stand_in"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    devices: dict[str, Any] = {
        f"board{index}": {
            "kind": "ssh",
            "address": f"{getpass.getuser()}@127.0.0.{index + 1}:{port}",
            "keys": [str(folder / "user")],
            "known_hosts": str(folder / "known_hosts"),
            "python": str(python),
            "folder": str(folder / f"board{count}-{index}"),
        }
        for index in range(count)
    }
    base = project / "conf" / "base"
    (base / "devices.yml").write_text(yaml.safe_dump(devices))
    models = yaml.safe_load((base / "models.yml").read_text())
    targets = {"devices": list(devices), "runtimes": ["onnx"], "precisions": ["w8a8"]}
    (base / "models.yml").write_text(yaml.safe_dump({"digits": {**models["digits"], "targets": targets}}))
    for path in (base / "parameters").glob("*.yml"):
        if path.stem != "digits":
            path.unlink()
    parameters = yaml.safe_load((base / "parameters" / "digits.yml").read_text())
    parameters["digits"]["profile"] = {"min_seconds": seconds, "warmup": 5}
    (base / "parameters" / "digits.yml").write_text(yaml.safe_dump(parameters))


def kedro(project: Path, *arguments: str) -> None:
    """Run the pipeline of digits."""
    environment = {**os.environ, "KEDRO_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "digits", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Serve SSH on loopback; yield the port."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("there is no sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    addresses = "\n".join(f"ListenAddress 127.0.0.{index}" for index in range(1, MOST + 1))
    text = SERVER.format(port=port, folder=folder).replace("ListenAddress 127.0.0.1", addresses)
    (folder / "conf").write_text(text)
    key = (folder / "host.pub").read_text().strip()
    (folder / "known_hosts").write_text("".join(f"[127.0.0.{index}]:{port} {key}\n" for index in range(1, MOST + 1)))
    process = subprocess.Popen([program, "-D", "-f", f"{folder}/conf", "-E", f"{folder}/log"])
    try:
        time.sleep(1)
        yield port
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
