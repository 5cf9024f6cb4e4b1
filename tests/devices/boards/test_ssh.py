"""A board behind SSH: the same numbers as on this machine, and nothing left behind."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.boards.bundle import bundle
from edge_pipeline.devices.boards.ssh_link import SshLink
from edge_pipeline.devices.inventory import DeviceSpec, connect, state
from edge_pipeline.devices.settings import ProfileSettings

LIMITS: dict[str, Any] = {"threads": 1, "time_limit_s": 60.0, "target": "digits@board/onnx/w8a8"}


def outputs(spec: DeviceSpec, artifact: Artifact, images: Any) -> Any:
    (found,) = connect(spec).infer(artifact, [(images,)], **LIMITS)
    return found[0]


def kept(spec: DeviceSpec, what: str) -> set[str]:
    return {path.name for path in (Path(spec.folder) / what).iterdir()}


def test_the_numbers_are_those_of_this_machine(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    artifact = onnx_compiled[Precision.W8A8]
    np.testing.assert_array_equal(
        outputs(board, artifact, images[:5]), outputs(DeviceSpec(kind="host"), artifact, images[:5])
    )


def test_a_job_leaves_only_the_files_that_are_kept_by_content(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    artifact = onnx_compiled[Precision.W8A8]
    outputs(board, artifact, images[:2])
    assert kept(board, "runs") == set()
    sums = {hashlib.sha256(data).hexdigest() for data in (artifact.files["model.onnx"], bundle())}
    assert sums < kept(board, "files")
    assert len(kept(board, "files")) == 3


def test_what_is_there_is_not_sent_again(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = onnx_compiled[Precision.W8A8]
    first = outputs(board, artifact, images[:2])

    async def refuse(*_: Any) -> None:
        raise AssertionError("sent again")

    monkeypatch.setattr("edge_pipeline.devices.boards.ssh_link.SshLink.send", refuse)
    np.testing.assert_array_equal(outputs(board, artifact, images[:2]), first)


def test_old_files_make_room_for_new_ones(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    old = Path(board.folder) / "files" / ("0" * 64)
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(2_000_000))
    outputs(board.model_copy(update={"cache_mb": 1}), onnx_compiled[Precision.W8A8], images[:2])
    assert not old.exists()


def test_a_file_that_arrives_damaged_is_sent_again(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = SshLink.send, iter(range(100))

    async def send(self: SshLink, path: str, data: bytes, offset: int) -> None:
        await original(self, path, bytes(len(data)) if next(calls) == 0 else data, offset)

    monkeypatch.setattr(SshLink, "send", send)
    assert outputs(board, onnx_compiled[Precision.W8A8], images[:2]).shape == (2, 10)
    assert next(calls) == 4


@pytest.mark.slow
def test_a_profile_has_what_a_profile_of_this_machine_has(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    artifact, settings = onnx_compiled[Precision.W8A8], ProfileSettings()
    here, there = (
        connect(spec).profile(artifact, (images[:4],), settings, "digits@board/onnx/w8a8")
        for spec in (DeviceSpec(kind="host"), board)
    )
    assert there.metrics.keys() == here.metrics.keys()
    assert [layer.name for layer in there.layers] == [layer.name for layer in here.layers]
    assert there.runtime_version == here.runtime_version
    assert there.device["kind"] == "ssh"
    assert len(there.repeats) == 2 and min(len(one.samples_ms) for one in there.repeats) >= 100


def test_the_board_tells_what_it_is(board: DeviceSpec) -> None:
    found = state(board)
    assert found["state"] == "ready"
    assert found["packages"]["numpy"] == np.__version__
    assert found["memory_mb"] > 100 and found["free_mb"] > 100
