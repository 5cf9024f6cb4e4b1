"""A disk of the board that is full, before or while something is written to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.boards.ssh_link import SshLink
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import outputs, refused

Disk = Callable[[Path, str], Path]


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


def fill(folder: Path) -> Path:
    """Take all that is left on a disk."""
    path = folder / "fill"
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return path
    raise AssertionError("the disk has no end")


def test_before_anything_is_sent(
    wrapped: Callable[..., DeviceSpec], artifact: Artifact, images: Any, tmp_path: Path, mount_disk: Disk
) -> None:
    board = wrapped(folder=str(mount_disk(tmp_path / "disk", "4m")))
    filled = fill(tmp_path / "disk")
    assert "disk is full" in refused(outputs, board, artifact, images[:2])
    filled.unlink()
    assert outputs(board, artifact, images[:2]).shape == (2, 10)


def test_while_a_file_is_sent(
    wrapped: Callable[..., DeviceSpec],
    artifact: Artifact,
    images: Any,
    tmp_path: Path,
    mount_disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = mount_disk(tmp_path / "disk", "4m")
    board, original = wrapped(folder=str(disk)), SshLink.send

    async def send(self: SshLink, *arguments: Any) -> None:
        fill(disk)
        await original(self, *arguments)

    with monkeypatch.context() as during:
        during.setattr(SshLink, "send", send)
        assert "cannot be written" in (told := refused(outputs, board, artifact, images[:2])) and "disk full" in told
    assert list((disk / "files").iterdir()) == []
    (disk / "fill").unlink()
    assert outputs(board, artifact, images[:2]).shape == (2, 10)


def test_while_the_job_runs(
    wrapped: Callable[..., DeviceSpec], artifact: Artifact, images: Any, tmp_path: Path, mount_disk: Disk
) -> None:
    disk = mount_disk(tmp_path / "disk", "4m")
    board = wrapped(agent=f"cat /dev/zero > {disk}/fill 2> /dev/null", folder=str(disk))
    assert "the board's disk is full; delete something" in refused(outputs, board, artifact, images[:2])
    (disk / "fill").unlink()
    assert outputs(wrapped(folder=str(disk)), artifact, images[:2]).shape == (2, 10)
