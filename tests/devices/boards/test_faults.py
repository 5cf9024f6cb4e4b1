"""What may go wrong with a board, and what is said then."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.boards.ssh_link import SshLink
from edge_pipeline.devices.inventory import DeviceSpec, connect, state


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "FIRST_S", 0.5)


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


def outputs(spec: DeviceSpec, artifact: Artifact, images: Any, time_limit_s: float = 60.0) -> Any:
    (found,) = connect(spec).infer(artifact, [(images,)], threads=1, time_limit_s=time_limit_s, target="digits@board")
    return found[0]


def refused(spec: DeviceSpec, artifact: Artifact, images: Any, **settings: Any) -> str:
    with pytest.raises(DeviceError) as raised:
        outputs(spec, artifact, images[:2], **settings)
    return str(raised.value)


def test_an_unknown_host_key_says_how_to_keep_it(
    board: DeviceSpec, artifact: Artifact, images: Any, tmp_path: Path
) -> None:
    told = refused(board.model_copy(update={"known_hosts": tmp_path / "none"}), artifact, images)
    assert "is not known" in told and "ssh-keyscan" in told


def test_a_changed_host_key_is_another_error(
    board: DeviceSpec, sshd: Any, artifact: Artifact, images: Any, tmp_path: Path
) -> None:
    other = tmp_path / "known_hosts"
    other.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'stranger.pub').read_text()}")
    told = refused(board.model_copy(update={"known_hosts": other}), artifact, images)
    assert "is another than the one in" in told and "ssh-keygen -R" in told


def test_a_key_that_the_board_does_not_know(board: DeviceSpec, sshd: Any, artifact: Artifact, images: Any) -> None:
    told = refused(board.model_copy(update={"keys": (sshd.folder / "stranger",)}), artifact, images)
    assert "refuses" in told and "authorized_keys" in told


def test_a_key_that_is_not_there(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    told = refused(board.model_copy(update={"keys": (Path("/nowhere/key"),)}), artifact, images)
    assert "the key /nowhere/key does not exist" in told


def test_a_board_that_is_not_there(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    gone = board.model_copy(update={"address": "edge@127.0.0.1:1"})
    assert "edge@127.0.0.1:1 cannot be reached" in refused(gone, artifact, images)
    assert state(gone)["state"] == "unreachable"


def test_a_board_without_that_python(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    assert "/no/python" in refused(board.model_copy(update={"python": "/no/python"}), artifact, images)


def test_a_board_without_the_runtime(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    bare = board.model_copy(update={"python": f"{board.python} -S"})
    assert "No module named 'numpy'" in refused(bare, artifact, images)


def test_a_model_that_the_engine_refuses(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    told = refused(board, replace(artifact, files={"model.onnx": b"no model"}), images)
    assert "the agent ended with exit status 1" in told
    assert not list((Path(board.folder) / "runs").iterdir())


def test_a_job_over_its_time_limit(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    assert "stopped after its time limit of 0.05 s" in refused(board, artifact, images, time_limit_s=0.05)


def test_a_result_larger_than_it_can_be_is_not_fetched(
    board: DeviceSpec, artifact: Artifact, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SshLink.receive

    async def receive(self: SshLink, path: str, limit: int) -> bytes:
        return await original(self, path, 10)

    monkeypatch.setattr(SshLink, "receive", receive)
    assert "more than the 10 that are expected" in refused(board, artifact, images)


def test_an_answer_that_is_no_json(
    board: DeviceSpec, artifact: Artifact, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*_: Any) -> str:
        return "Welcome to your board!\n"

    monkeypatch.setattr(SshLink, "run", run)
    assert "something else than JSON" in refused(board, artifact, images)


def cut(server: Any, method: str, monkeypatch: pytest.MonkeyPatch, nth: int) -> Iterator[int]:
    """Kill the server in the middle of the `nth` call of a method of the link, and start it again a second later."""
    original, calls = getattr(SshLink, method), iter(range(1, 1000))

    def restart() -> None:
        time.sleep(1)
        server.start()

    async def cutting(self: SshLink, *arguments: Any) -> Any:
        if next(calls) == nth:
            server.stop()
            threading.Thread(target=restart).start()
        return await original(self, *arguments)

    monkeypatch.setattr(SshLink, method, cutting)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "nth"), [("run", 1), ("run", 2), ("send", 1), ("send", 2), ("run", 8), ("run", 9), ("receive", 1)]
)
def test_a_link_that_is_cut_anywhere_changes_nothing(
    board: DeviceSpec,
    sshd: Any,
    artifact: Artifact,
    images: Any,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    nth: int,
) -> None:
    wanted = outputs(DeviceSpec(kind="host"), artifact, images[:3])
    monkeypatch.setattr(boards, "FIRST_S", 20)
    calls = cut(sshd, method, monkeypatch, nth)
    np.testing.assert_array_equal(outputs(board, artifact, images[:3]), wanted)
    assert next(calls) > nth
    assert not list((Path(board.folder) / "runs").iterdir())


@pytest.mark.slow
def test_jobs_of_two_clients_run_one_after_the_other(board: DeviceSpec, artifact: Artifact, images: Any) -> None:
    found: list[Any] = []
    clients = [threading.Thread(target=lambda: found.append(outputs(board, artifact, images[:3]))) for _ in range(3)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    assert len(found) == 3
    assert all(np.array_equal(one, found[0]) for one in found)
