"""What a job needs is ended while it runs: the agent, the process that watches it, or the SSH server."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import jobs, profile, refused

pytestmark = pytest.mark.slow


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


@contextlib.contextmanager
def once_it_measures(board: DeviceSpec, act: Callable[[Path, int], None]) -> Iterator[list[int]]:
    """Call `act` with the folder of the first job and the id of its agent, when that has loaded its model."""
    done: list[int] = []

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not done and time.monotonic() < deadline:
            for folder in jobs(board):
                for agent in agents(folder):
                    time.sleep(1)
                    act(folder, agent)
                    done.append(agent)
                    return
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    yield done
    thread.join()
    assert done


def agents(folder: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "cwd").resolve() == folder and b"onnxruntime_pybind" in (path / "maps").read_bytes():
                found.append(int(path.name))
    return found


def kill_agent(_: Path, agent: int) -> None:
    os.kill(agent, signal.SIGKILL)


def kill_watcher(folder: Path, _: int) -> None:
    os.kill(int((folder / "group").read_text()), signal.SIGKILL)


def test_the_agent(wrapped: Callable[..., DeviceSpec], artifact: Artifact, images: Any) -> None:
    board = wrapped()
    with once_it_measures(board, kill_agent):
        assert "the agent was ended by SIGKILL" in refused(profile, board, artifact, images[:2])


def test_the_process_that_watches_it(
    wrapped: Callable[..., DeviceSpec], artifact: Artifact, images: Any, alive: Callable[[int], bool]
) -> None:
    board = wrapped()
    with once_it_measures(board, kill_watcher) as agent:
        told = refused(profile, board, artifact, images[:2])
    assert "the job ended without a result; was the board restarted" in told
    assert not alive(agent[0])


@pytest.mark.parametrize("end", [kill_agent, kill_watcher])
def test_another_try_loses_nothing(
    wrapped: Callable[..., DeviceSpec], artifact: Artifact, images: Any, end: Callable[[Path, int], None]
) -> None:
    board = wrapped(retry={"attempts": 2, "backoff_s": 0})
    with once_it_measures(board, end):
        found = profile(board, artifact, images[:2])
    assert len(found.repeats) == 2 and found.layers
    assert sum("profile was tried again after" in one for one in found.warnings) == 1
    assert not jobs(board)


def test_the_ssh_server_which_comes_back(
    wrapped: Callable[..., DeviceSpec], sshd: Any, artifact: Artifact, images: Any, tmp_path: Path
) -> None:
    board = wrapped(agent=f"echo >> {tmp_path}/starts")

    def restart(*_: Any) -> None:
        sshd.stop()
        time.sleep(1)
        sshd.start()

    with once_it_measures(board, restart):
        found = profile(board, artifact, images[:2])
    assert len(found.repeats) == 2 and found.layers
    assert not any("tried again" in one for one in found.warnings)
    assert len((tmp_path / "starts").read_text().splitlines()) == 3  # two repeats and the layers, none of them twice
    assert not jobs(board)
