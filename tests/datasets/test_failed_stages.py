"""A stage that failed leaves its `Failure` where its result would be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Split
from edge_pipeline.datasets.kedro_io import ArtifactDataset, RecordDataset

FAILURE = Failure("compile", "digits@host/onnx/w8a8", "it broke: ü", "Traceback ...")


@pytest.fixture(params=["record", "artifact"])
def case(request: pytest.FixtureRequest, tmp_path: Path, artifact: Artifact) -> tuple[Any, Any]:
    """A dataset and a result that fits in."""
    if request.param == "artifact":
        return ArtifactDataset(str(tmp_path / "result")), artifact
    dataset = RecordDataset(str(tmp_path / "result.json"), "edge_pipeline.core.types.Split")
    return dataset, Split("h", 0, ("a",), (0,), (1,), (2,))


def test_a_failure_comes_back_equal(case: tuple[Any, Any]) -> None:
    dataset, _ = case
    dataset.save(FAILURE)
    assert dataset.load() == FAILURE


def test_a_failure_does_not_exist_as_a_result_so_that_it_is_made_again(case: tuple[Any, Any]) -> None:
    dataset, _ = case
    dataset.save(FAILURE)
    assert not dataset.exists()


def test_a_failure_replaces_the_result_before(case: tuple[Any, Any]) -> None:
    dataset, result = case
    dataset.save(result)
    dataset.save(FAILURE)
    assert dataset.load() == FAILURE
    assert not dataset.exists()


def test_a_result_removes_the_failure_before(case: tuple[Any, Any], tmp_path: Path) -> None:
    dataset, result = case
    dataset.save(FAILURE)
    dataset.save(result)
    assert dataset.load() == result
    assert not list(tmp_path.rglob("*failed*"))


def test_an_optional_result_that_failed_is_a_failure_not_none(tmp_path: Path) -> None:
    dataset = RecordDataset(str(tmp_path / "x.json"), "edge_pipeline.core.types.Split", optional=True)
    dataset.save(FAILURE)
    assert dataset.load() == FAILURE


def test_a_damaged_failure_is_noticed(case: tuple[Any, Any], tmp_path: Path, refused: Callable) -> None:
    dataset, _ = case
    dataset.save(FAILURE)
    (path,) = tmp_path.glob("*.failed.json")
    path.write_bytes(path.read_bytes()[:10])
    with refused(str(path)):
        dataset.load()
