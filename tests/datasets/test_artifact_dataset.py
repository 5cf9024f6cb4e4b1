import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_pipeline.core.types import Artifact
from edge_pipeline.datasets.kedro_io import ArtifactDataset


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "compiled"


@pytest.fixture
def dataset(path: Path) -> ArtifactDataset:
    return ArtifactDataset(str(path))


@pytest.fixture
def saved(dataset: ArtifactDataset, artifact: Artifact) -> ArtifactDataset:
    dataset.save(artifact)
    return dataset


def test_an_artifact_comes_back_equal_with_the_same_hash(saved: ArtifactDataset, artifact: Artifact) -> None:
    loaded = saved.load()
    assert loaded == artifact
    assert loaded.hash == artifact.hash


def test_the_folder_holds_the_files_and_a_manifest_that_people_can_read(
    saved: ArtifactDataset, artifact: Artifact, path: Path
) -> None:
    assert sorted(one.name for one in path.iterdir()) == ["extra.bin", "manifest.json", "model.onnx"]
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest == {**artifact.manifest(), "sha256": artifact.hash}


@pytest.mark.parametrize("position", [0, 200, 255])
def test_a_changed_byte_of_a_file_is_noticed(
    saved: ArtifactDataset, path: Path, refused: Callable, position: int
) -> None:
    content = bytearray((path / "extra.bin").read_bytes())
    content[position] ^= 1
    (path / "extra.bin").write_bytes(content)
    with refused(str(path), "extra.bin does not match its hash", "`kedro run --only-missing-outputs` makes it anew"):
        saved.load()


@pytest.mark.parametrize("name", ["extra.bin", "model.onnx"])
def test_a_truncated_file_is_noticed(saved: ArtifactDataset, path: Path, refused: Callable, name: str) -> None:
    (path / name).write_bytes((path / name).read_bytes()[:-1])
    with refused(str(path), name):
        saved.load()


def test_a_missing_file_is_noticed(saved: ArtifactDataset, path: Path, refused: Callable) -> None:
    (path / "extra.bin").unlink()
    with refused(str(path), "is damaged", "extra.bin"):
        saved.load()


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_manifest_is_noticed(saved: ArtifactDataset, path: Path, refused: Callable, share: float) -> None:
    manifest = path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[: int(share * manifest.stat().st_size)])
    with refused(str(path), "is damaged"):
        saved.load()


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"files": {"a": {}}}'])
def test_a_manifest_of_something_else_is_noticed(
    saved: ArtifactDataset, path: Path, refused: Callable, content: str
) -> None:
    (path / "manifest.json").write_text(content)
    with refused(str(path), "is damaged"):
        saved.load()


def test_a_missing_artifact_is_reported_with_what_to_do(
    dataset: ArtifactDataset, path: Path, refused: Callable
) -> None:
    assert not dataset.exists()
    with refused(f"{path} does not exist", "--only-missing-outputs"):
        dataset.load()


def test_a_missing_optional_artifact_is_none(path: Path) -> None:
    assert ArtifactDataset(str(path), optional=True).load() is None


def test_files_of_the_artifact_before_and_stray_ones_are_removed(
    saved: ArtifactDataset, artifact: Artifact, path: Path
) -> None:
    (path / "stray.bin").write_bytes(b"not ours")
    other = replace(artifact, files={"model.tflite": b"other"})
    saved.save(other)
    assert sorted(one.name for one in path.iterdir()) == ["manifest.json", "model.tflite"]
    assert saved.load() == other


def test_a_folder_without_manifest_counts_as_not_existing(saved: ArtifactDataset, path: Path) -> None:
    (path / "manifest.json").unlink()
    assert not saved.exists()


@pytest.mark.parametrize("before", [False, True], ids=["first result", "over an older result"])
def test_a_save_that_is_killed_before_its_manifest_leaves_nothing_that_exists(
    dataset: ArtifactDataset, artifact: Artifact, path: Path, start_python, before: bool
) -> None:
    if before:
        dataset.save(artifact)
    code = f"""
import os, signal
from edge_pipeline.core.types import Artifact
from edge_pipeline.datasets import kedro_io
def write(path, data, original=kedro_io.write_atomically):
    if path.name == "manifest.json":
        os.kill(os.getpid(), signal.SIGKILL)
    original(path, data)
kedro_io.write_atomically = write
kedro_io.ArtifactDataset({str(path)!r}).save(Artifact("compiled", {{"model.onnx": b"newer"}}))
"""
    process = start_python(code)
    process.wait(60)
    assert process.returncode == -signal.SIGKILL
    assert (path / "model.onnx").read_bytes() == b"newer"
    assert not dataset.exists()
    dataset.save(artifact)
    assert dataset.load() == artifact


def test_a_full_disk_leaves_nothing_that_exists(small_disk: Path, artifact: Artifact, refused: Callable) -> None:
    dataset = ArtifactDataset(str(small_disk / "compiled"))
    dataset.save(artifact)
    with refused("the disk is full"):
        dataset.save(replace(artifact, files={"model.onnx": bytes(100_000)}))
    assert not dataset.exists()


def test_a_discarded_artifact_is_gone(saved: ArtifactDataset, path: Path) -> None:
    saved.discard()
    saved.discard()
    assert not path.exists()
    assert not saved.exists()


def test_a_stray_folder_does_not_keep_an_artifact_from_being_saved(
    saved: ArtifactDataset, artifact: Artifact, path: Path
) -> None:
    (path / ".ipynb_checkpoints").mkdir()
    saved.save(artifact)
    assert saved.load() == artifact


def test_a_changed_parent_in_the_manifest_is_noticed(
    saved: ArtifactDataset, path: Path, refused: Callable, change_byte: Callable
) -> None:
    change_byte(path / "manifest.json", b"www", b"wxw")
    with refused(str(path)):
        saved.load()


def test_an_artifact_without_files_is_kept_too(tmp_path: Path) -> None:
    dataset = ArtifactDataset(str(tmp_path / "new" / "folder"))
    empty = Artifact("predictions", {}, {"weights": "w"}, details={"samples": [1]})
    dataset.save(empty)
    assert dataset.load() == empty
