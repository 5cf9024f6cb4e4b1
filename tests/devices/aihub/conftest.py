"""A hub on a free loopback port, whose devices are devices of kind `aihub` for the other side."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.devices.inventory import DeviceSpec

pytest.importorskip("qai_hub", reason="the extra `aihub` is not installed")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both clients, the official one and what is built on it, try again at once."""
    from qai_hub.util import session

    from edge_pipeline.devices.aihub import client, jobs

    monkeypatch.setattr(session, "BACKOFF_FACTOR", 0.001)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(jobs, "FIRST_POLL_S", 0.05)
    monkeypatch.setattr(jobs, "LONGEST_POLL_S", 0.2)


class Hub:
    """A hub that runs, and what it was asked for."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.server, self.folder, self.token, self.faults = server, folder, server.token, server.faults
        self.address: str = server.address
        self.ini = folder.with_name("client.ini")

    def configure(self, token: str) -> None:
        """Write the client's file."""
        self.ini.write_text(f"[api]\napi_url = {self.address}\nweb_url = {self.address}\napi_token = {token}\n")

    def official(self) -> Any:
        """Return the official client."""
        import qai_hub

        return qai_hub.Client(config=qai_hub.ClientConfig(self.token, self.address, self.address))

    def jobs(self) -> list[str]:
        """Return the names of all jobs, newest first."""
        return [one.name for one in self.official().get_job_summaries(limit=200)]

    def count(self, kind: str) -> int:
        """Return how many models or datasets were uploaded or made."""
        return len(list((self.folder / kind).glob("*/record.pb")))

    def change(self, kind: str, change: Any) -> None:
        """Alter the records of all models, datasets or jobs."""
        store = self.server._store
        for name, _ in store.all(kind):
            store.update(kind, name, change)


@pytest.fixture
def limits() -> dict[str, int]:
    return {}


@contextmanager
def served(folder: Path, **limits: int) -> Iterator[Hub]:
    """Serve a hub whose client's file is beside `folder`."""
    from edge_pipeline.hub.serve import Hub as Server

    devices = {"host": DeviceSpec(kind="host"), "npu": DeviceSpec(kind="htp_emulator", chip="QCS8550")}
    with ExitStack() as stack:
        server = Server(folder, devices, **limits)
        thread = server.start()

        def end() -> None:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()

        stack.callback(end)
        found = Hub(server, folder)
        found.configure(server.token)
        for _ in range(200):
            try:
                requests.get(server.address, timeout=1)
                break
            except requests.ConnectionError:
                time.sleep(0.02)
        yield found


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]) -> Iterator[Hub]:
    with served(tmp_path / "hub", **limits) as found:
        monkeypatch.setenv("QAIHUB_CLIENT_INI", str(found.ini))
        monkeypatch.delenv("QAIHUB_API_TOKEN", raising=False)
        yield found


@pytest.fixture
def device(tmp_path: Path) -> DeviceSpec:
    return DeviceSpec(kind="aihub", hub_device="host", folder=str(tmp_path / "ledger"))


@pytest.fixture
def images() -> tuple[Any, ...]:
    return (np.random.default_rng(3).random((7, 1, 8, 8), dtype=np.float32),)


def target(runtime: str = "onnx", precision: str = "float") -> Target:
    return Target("digits", "cloud", RuntimeName(runtime), Precision(precision))


def compile_there(
    device: DeviceSpec, exported: Artifact, wanted: Target | None = None, options: str = "", **wishes: Any
) -> Artifact:
    from edge_pipeline.devices.aihub import compiling

    return compiling.compile_there(device, exported, wanted or target(), compiling.Wishes(options, 120, **wishes))


def infer(device: DeviceSpec, artifact: Artifact, *batches: Any) -> list[Any]:
    from edge_pipeline.devices.inventory import connect

    return list(connect(device).infer(artifact, batches, threads=1, time_limit_s=120, target="digits@cloud/onnx/float"))
