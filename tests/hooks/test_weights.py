"""The weights of a release, from disk or from a real MLflow store."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ReleaseError, StorageError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.types import Artifact
from edge_pipeline.hooks.registry import Release
from edge_pipeline.hooks.weights import weights_of


class Catalog:
    """Holds the last trained weights."""

    def __init__(self, found: Artifact | None = None) -> None:
        self._found = found

    def exists(self, name: str) -> bool:
        return name == "digits.weights" and self._found is not None

    def load(self, name: str) -> Artifact | None:
        return self._found


def artifact(content: bytes) -> Artifact:
    return Artifact("weights", {"weights.pt": content}, {"dataset": "d"})


def release(of: Artifact) -> Release:
    return Release("digits", 3, "run", 0, ("champion",), {"weights_hash": of.hash})


@pytest.fixture
def trained(store: Any, make_record: Any) -> Any:
    """Return a function that logs a training as `kedro run` does."""

    def log(of: Artifact, content: bytes | None = None) -> None:
        files = {
            "weights/manifest.json": json_bytes(of.manifest()),
            "weights/weights.pt": content or of.files["weights.pt"],
        }
        tags = {"kind": "training", "model": "digits", "weights_hash": of.hash}
        store.complete(make_record(name="digits/training", tags=tags, files=files, tables={}))

    return log


def test_the_last_trained_weights_are_taken_from_disk(store: Any, tmp_path: Path) -> None:
    made = artifact(b"one")
    path = weights_of(release(made), Catalog(made), store, tmp_path)
    assert path and not Path(path).is_absolute() and (tmp_path / path).read_bytes() == b"one"


def test_older_ones_come_from_the_run_of_their_training(store: Any, tmp_path: Path, trained: Any) -> None:
    champion, last = artifact(b"champion"), artifact(b"last")
    trained(champion), trained(last)
    path = weights_of(release(champion), Catalog(last), store, tmp_path)
    assert path and (tmp_path / path).read_bytes() == b"champion"
    (tmp_path / path).write_bytes(b"damaged")
    assert weights_of(release(champion), Catalog(), store, tmp_path) == path
    assert (tmp_path / path).read_bytes() == b"champion"


def test_a_network_that_is_not_trained_has_none(store: Any, tmp_path: Path) -> None:
    made = Artifact("weights", {"model.onnx": b"x"})
    assert weights_of(release(made), Catalog(made), store, tmp_path) is None


def test_altered_weights_are_refused(store: Any, tmp_path: Path, trained: Any) -> None:
    trained(artifact(b"altered champion"), b"something else")
    with pytest.raises(StorageError, match="are not what was released"):
        weights_of(release(artifact(b"altered champion")), Catalog(), store, tmp_path)


def test_weights_that_are_nowhere_are_an_error_that_says_what_to_do(store: Any, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"digits version 3, are no longer on disk .*--from-scratch"):
        weights_of(release(artifact(b"lost")), Catalog(artifact(b"other")), store, tmp_path)
