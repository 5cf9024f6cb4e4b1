"""Kedro wraps what a dataset raises: the error of the project is the cause."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from edge_pipeline.core.errors import StorageError
from edge_pipeline.datasets.coco import CocoSamples
from tests.datasets.coco_labels import annotation


@contextmanager
def _refused(*texts: str) -> Iterator[None]:
    with pytest.raises(DatasetError) as raised:
        yield
    assert isinstance(raised.value.__cause__, StorageError), repr(raised.value.__cause__)
    for text in texts:
        assert text in str(raised.value.__cause__)


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[None]]:
    """Return a context in which a dataset must raise a `StorageError` that holds the given texts."""
    return _refused


@pytest.fixture
def change_byte() -> Callable[[Path, bytes, bytes], None]:
    """Return a function that replaces bytes of a file, which must be there."""

    def change(path: Path, old: bytes, new: bytes) -> None:
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return change


@pytest.fixture
def coco_images(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Three images of 40x30 pixels."""
    for name in ("a.png", "b.png", "deep/c.png"):
        write_image(tmp_path / "images" / name, size=(40, 30))
    return tmp_path / "images"


@pytest.fixture
def coco_labels() -> dict[str, Any]:
    """Objects in two of three images; the category ids have gaps and are not in order."""
    return {
        "info": {"year": 2024, "nested": [1, [2]]},
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 12, "file_name": "deep/c.png", "width": 40, "height": 30},
        ],
        "annotations": [
            annotation(1, image_id=12, category_id=90, bbox=[1, 2, 3, 4]),
            annotation(2, image_id=7, category_id=5, bbox=[10, 10, 10, 10]),
            annotation(5, image_id=12, category_id=5, bbox=[0.5, 0, 39.5, 30], iscrowd=1),
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 5, "name": "cat"}],
    }


@pytest.fixture
def open_coco(coco_images: Path, tmp_path: Path) -> Callable[..., CocoSamples]:
    def open_labels(content: Any, *, channels: int = 3, masks: bool = False) -> CocoSamples:
        path = tmp_path / "labels.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return CocoSamples({"train": (coco_images, path)}, channels, masks=masks)

    return open_labels
