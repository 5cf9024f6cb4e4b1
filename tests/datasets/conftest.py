"""Kedro wraps what a dataset raises: the error of the project is the cause."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from kedro.io import DatasetError

from edge_pipeline.core.errors import StorageError


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
