import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.files import sha256
from edge_pipeline.core.types import Artifact, TensorSpec


def test_equal_artifacts_have_equal_hashes(artifact: Artifact) -> None:
    assert replace(artifact).hash == artifact.hash
    assert len(artifact.hash) == 64


def test_the_hash_does_not_depend_on_the_order_of_entries(artifact: Artifact) -> None:
    files, parents = (dict(reversed(entries.items())) for entries in (artifact.files, artifact.parents))
    other = replace(artifact, files=files, parents=parents)
    assert other.hash == artifact.hash


@pytest.mark.parametrize("position", [0, 128, 255])
def test_one_changed_bit_of_a_file_changes_the_hash(artifact: Artifact, position: int) -> None:
    content = bytearray(artifact.files["extra.bin"])
    content[position] ^= 1
    assert replace(artifact, files={**artifact.files, "extra.bin": bytes(content)}).hash != artifact.hash


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "exported"},
        {"files": {"renamed.onnx": b"model", "extra.bin": bytes(range(256))}},
        {"parents": {"dataset": "d" * 64}},
        {"inputs": (TensorSpec("image", (1, 3, 8, 8), "float32"),)},
        {"outputs": ()},
        {"tools": {"torch": "3"}},
        {"details": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_other_field_changes_the_hash(artifact: Artifact, change: dict[str, Any]) -> None:
    assert replace(artifact, **change).hash != artifact.hash


def test_the_lineage_names_all_parents_and_the_artifact_itself(artifact: Artifact) -> None:
    assert artifact.lineage == {"dataset": "d" * 64, "weights": "w" * 64, "compiled": artifact.hash}


def test_a_child_made_from_the_lineage_names_its_whole_ancestry(artifact: Artifact) -> None:
    child = Artifact("packed", {}, artifact.lineage)
    assert set(child.lineage) == {"dataset", "weights", "compiled", "packed"}


def test_the_manifest_holds_hash_and_size_of_every_file(artifact: Artifact) -> None:
    assert artifact.manifest()["files"] == {
        name: {"sha256": sha256(data), "bytes": len(data)} for name, data in artifact.files.items()
    }


def test_the_manifest_is_plain_json(artifact: Artifact) -> None:
    assert json.loads(json.dumps(artifact.manifest())) == artifact.manifest()


def test_the_size_is_that_of_all_files(artifact: Artifact) -> None:
    assert artifact.size_bytes == 5 + 256


def test_unpacking_writes_every_file(artifact: Artifact, tmp_path: Path) -> None:
    paths = artifact.unpack(tmp_path)
    assert {path.name: path.read_bytes() for path in paths} == artifact.files
