"""One board behind SSH: a release is tested there before and after the switch, and undone where it fails."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import DeviceError, EdgePipelineError
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.boards.ssh_link import SshLink
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.boards import Station
from edge_pipeline.fleet.bundle import Content, DeviceClass, read_bundle
from edge_pipeline.fleet.keys import PublicKey
from tests.fleet.conftest import changed, model_folder

Release = Callable[..., bytes]
Deploy = Callable[..., str]


@pytest.fixture
def deploy(trusted: list[PublicKey]) -> Deploy:
    def to(spec: DeviceSpec, data: bytes, **more: Any) -> str:
        return wait_for(Station("rb3", spec, trusted).deploy(read_bundle(data, trusted), **more))

    return to


@pytest.fixture
def version(trusted: list[PublicKey]) -> Callable[[DeviceSpec], int | None]:
    """Return a function that tells the version in use, all of it whole, as the board and an application see it."""

    def of(spec: DeviceSpec) -> int | None:
        now = wait_for(Station("rb3", spec, trusted).models())["digits"]["current"]
        if now is None:
            assert not (model_folder(spec) / "current").exists()
            return None
        assert now["damage"] == ""
        assert (model_folder(spec) / "current" / "artifact" / "version.txt").read_text() == str(now["version"])
        return int(now["version"])

    return of


def fails(deploy: Deploy, *arguments: Any, **more: Any) -> str:
    with pytest.raises(EdgePipelineError) as raised:
        deploy(*arguments, **more)
    assert "Traceback" not in str(raised.value)
    return str(raised.value)


def test_a_release_is_tested_used_and_not_sent_again(
    board: DeviceSpec, release: Release, deploy: Deploy, version: Any, trusted: list[PublicKey], monkeypatch: Any
) -> None:
    assert deploy(board, release(1)) == "golden test 200.0 dB"
    assert version(board) == 1
    assert deploy(board, release(2)) and version(board) == 2

    async def refuse(*_: Any) -> None:
        raise AssertionError("sent again")

    monkeypatch.setattr(SshLink, "send", refuse)
    assert deploy(board, release(2)) == "golden test 200.0 dB"
    assert sorted(one.name for one in (model_folder(board) / "releases").iterdir()) == ["1", "2"]
    assert "downgrade" in fails(deploy, board, release(1))
    assert wait_for(Station("rb3", board, trusted).check("digits")) == "golden test 200.0 dB"
    assert wait_for(Station("rb3", board, trusted).back("digits")).startswith("version 1, golden test")
    assert version(board) == 1


def test_a_golden_test_that_fails_before_the_switch_changes_nothing(
    board: DeviceSpec, release: Release, deploy: Deploy, version: Any
) -> None:
    assert "no release is in use there" in fails(deploy, board, release(1, wrong=True))
    deploy(board, release(1))
    told = fails(deploy, board, release(2, wrong=True))
    assert "golden test failed: the outputs agree at -6.0 dB" in told and "release 1 is in use, as before" in told
    assert version(board) == 1
    assert [one.name for one in (model_folder(board) / "releases").iterdir()] == ["1"]


def test_a_health_check_that_fails_after_the_switch_goes_back(
    wrapped: Callable[..., DeviceSpec], release: Release, deploy: Deploy, version: Any, tmp_path: Path
) -> None:
    spec = wrapped(agent=f"echo >> {tmp_path}/runs; [ $(wc -l < {tmp_path}/runs) != 4 ] || exit 3")
    deploy(spec, release(1))
    told = fails(deploy, spec, release(2))  # the fourth run is the one after its switch
    assert "exit status 3" in told and "release 1 is in use, as before" in told
    assert version(spec) == 1
    deploy(spec, release(2))
    assert version(spec) == 2


def test_a_deployment_killed_between_switch_and_health_check_is_settled_by_the_next(
    wrapped: Callable[..., DeviceSpec], release: Release, deploy: Deploy, version: Any, tmp_path: Path
) -> None:
    spec = wrapped(agent=f"[ ! -e {tmp_path}/bad ] || exit 3")
    deploy(spec, release(1))
    place = model_folder(spec)
    deploy(spec, release(2))
    noted = (place / "current" / "deployed.json").read_text().replace("golden test 200.0 dB", "")
    (place / "current" / "deployed.json").write_text(noted)
    (tmp_path / "bad").touch()
    assert "release 1 is in use" in fails(deploy, spec, release(2))
    assert version(spec) == 1


def test_a_board_of_another_chip_gets_nothing(
    board: DeviceSpec, release: Release, content: Content, deploy: Deploy
) -> None:
    data = release(targets=changed(content, fits=DeviceClass(RuntimeName.ONNX, ("rb3",), "QCS8550", "ssh")))
    other = board.model_copy(update={"chip": "QCS6490"})
    for spec in (board, other):
        assert "holds no artifact for this board" in fails(deploy, spec, data)
    assert not Path(str(board.folder)).exists()
    deploy(board.model_copy(update={"chip": "QCS8550"}), data)


def test_what_was_altered_on_the_board_is_seen_and_repaired(
    board: DeviceSpec, release: Release, deploy: Deploy, version: Any, trusted: list[PublicKey]
) -> None:
    deploy(board, release(1))
    current = model_folder(board) / "current"
    (current / "artifact" / "model.onnx").write_bytes(b"evil")
    now = wait_for(Station("rb3", board, trusted).models())["digits"]["current"]
    assert now["damage"] == "artifact/model.onnx is not the file that was signed"
    with pytest.raises(EdgePipelineError, match="damaged"):
        wait_for(Station("rb3", board, trusted).check("digits"))
    deploy(board, release(1))
    assert version(board) == 1
    (current / "manifest.json").write_bytes(
        (current / "manifest.json").read_bytes().replace(b'"version":1', b'"version":9')
    )
    with pytest.raises(EdgePipelineError, match="tampered"):
        wait_for(Station("rb3", board, trusted).check("digits"))


def test_a_board_that_is_away(
    board: DeviceSpec, release: Release, deploy: Deploy, version: Any, monkeypatch: Any
) -> None:
    deploy(board, release(1))
    monkeypatch.setattr(boards, "FIRST_S", 0.2)
    with pytest.raises(DeviceError) as raised:
        deploy(board.model_copy(update={"address": "edge@127.0.0.1:1"}), release(2))
    assert raised.value.trouble == "unreachable"
    assert version(board) == 1


def test_a_disk_that_is_full(
    wrapped: Callable[..., DeviceSpec], release: Release, deploy: Deploy, version: Any, tmp_path: Path, mount_disk: Any
) -> None:
    disk = mount_disk(tmp_path / "disk", "4m")
    spec = wrapped(folder=str(disk))
    deploy(spec, release(1))
    before = {path for path in disk.rglob("*") if "models" in path.parts}
    filled = disk / "fill"
    with filled.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while file.write(bytes(4096)):
            pass
    assert "disk is full" in fails(deploy, spec, release(2))
    assert version(spec) == 1
    assert {path for path in disk.rglob("*") if "models" in path.parts} == before
    filled.unlink()
    deploy(spec, release(2))
    assert version(spec) == 2


def test_the_client_killed_at_every_step(
    board: DeviceSpec, release: Release, deploy: Deploy, version: Any, trusted: list[PublicKey]
) -> None:
    deploy(board, release(1))
    new, kills = release(2), 0
    while _killed(lambda: deploy(board, new), kills + 1):
        kills += 1
        assert version(board) in (1, 2)
        assert kills < 60
    assert kills >= 12
    assert version(board) == 2
    assert wait_for(Station("rb3", board, trusted).models())["digits"]["current"]["health"]


def _killed(action: Callable[[], Any], number: int) -> bool:
    """Act in a process that is killed before its n-th request to the board; tell whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            left = [number]

            def counted(original: Any) -> Any:
                async def act(*arguments: Any) -> Any:
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return await original(*arguments)

                return act

            for name in ("run", "send", "receive"):
                setattr(SshLink, name, counted(getattr(SshLink, name)))
            asyncio.set_event_loop(None)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize(("step", "left"), [("switch", 1), ("confirm", 2)])
def test_a_step_of_the_board_that_is_killed(
    wrapped: Callable[..., DeviceSpec],
    release: Release,
    deploy: Deploy,
    version: Any,
    tmp_path: Path,
    step: str,
    left: int,
) -> None:
    spec = wrapped(step=f'[ "$2" != {step} ] || ! rm {tmp_path}/armed 2> /dev/null || kill -9 $$')
    deploy(spec, release(1))
    (tmp_path / "armed").touch()
    fails(deploy, spec, release(2))
    assert not (tmp_path / "armed").exists() and version(spec) == left
    deploy(spec, release(2))
    assert version(spec) == 2
