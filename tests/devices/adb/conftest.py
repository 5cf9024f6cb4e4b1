"""A device of our own, behind an adb server of our own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.devices.retry import Retry
from tests.devices.adb.adbd import Adbd

PROPERTIES = {"ro.product.model": "Edge Phone", "ro.build.version.release": "14", "ro.soc.model": "QCS8550"}


@pytest.fixture(scope="session")
def adb_server(
    lacking: Callable[[str], None], needs: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """The program adb, and the port of a server that looks for no devices by itself."""
    adbutils = needs("adbutils")
    try:
        program = adbutils.adb_path()
    except adbutils.AdbError:
        lacking("there is no adb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("adb")
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "ADB_LOCAL_TRANSPORT_MAX_PORT": "1"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-P", str(port), "nodaemon", "server"], env=environment, stdout=log, stderr=log
        )
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.05)
    yield program, port
    process.kill()
    process.wait()


@pytest.fixture
def adb(adb_server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that runs the program adb, and let everything use its server."""
    program, port = adb_server
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))

    def run(*arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run([program, *arguments], input=stdin, capture_output=True, timeout=30, check=False)
        return done.stdout.decode()

    return run


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of the device's programs, of which there is `getprop`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    known = "".join(f"{name}) echo '{value}';;\n" for name, value in PROPERTIES.items())
    (folder / "getprop").write_text(f'#!/bin/sh\ncase "$1" in\n{known}esac\n')
    (folder / "getprop").chmod(0o755)
    return folder


@pytest.fixture
def phone(adb: Callable[..., str], tools: Path) -> Iterator[Adbd]:
    """A device that `adb` does not know yet; it is gone at the end."""
    device = Adbd({"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tools), "OMP_NUM_THREADS": "1"})
    device.start()
    yield device
    adb("disconnect", f"127.0.0.1:{device.port}")
    device.stop()


@pytest.fixture
def board(phone: Adbd, tmp_path: Path) -> DeviceSpec:
    """The device with this Python, and nothing on it yet; what a lost link needs is done by the link alone."""
    return DeviceSpec(
        kind="adb",
        address=f"127.0.0.1:{phone.port}",
        python=sys.executable,
        folder=str(tmp_path / "board"),
        retry=Retry(attempts=1),
    )


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]
