"""Arrays that are too many for memory, kept in a temporary file that nobody else sees."""

import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.files import disk_errors


class Spool(Sequence[NDArray[Any]]):
    """A sequence of arrays of any shape and type in an anonymous file, which is gone with the last array read from it.

    Arrays come back as views of the file: they cost no memory until they are touched, and writing into one changes
    neither the file nor any later read.

    Raises:
        StorageError: the disk of the temporary files is full.
    """

    def __init__(self) -> None:
        self._folder = _temporary_folder()
        with disk_errors(self._folder / "temporary file"):
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix="edge_pipeline_")  # noqa: SIM115
        self._places: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []
        self._end = 0

    def append(self, array: NDArray[Any]) -> None:
        """Write one array at the end."""
        start = -(-self._end // array.dtype.itemsize) * array.dtype.itemsize
        with disk_errors(self._folder / "temporary file"):
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        self._places.append((start, array.shape, array.dtype))
        self._end = start + array.nbytes

    def stacked(self) -> NDArray[Any] | None:
        """Return all arrays as one with a leading axis, or `None` if there are none or they differ in shape or type."""
        if len({(shape, dtype) for _, shape, dtype in self._places}) != 1:
            return None
        start, shape, dtype = self._places[0]
        return self._view(start, (len(self), *shape), dtype)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[NDArray[Any]]: ...

    def __getitem__(self, index: int | slice) -> NDArray[Any] | list[NDArray[Any]]:
        if isinstance(index, slice):
            return [self._view(*place) for place in self._places[index]]
        return self._view(*self._places[index])

    def _view(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        size = int(np.prod(shape)) * dtype.itemsize
        if not size:
            return np.zeros(shape, dtype)
        with disk_errors(self._folder / "temporary file"):
            self._file.flush()
        first = start // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        pages = mmap.mmap(self._file.fileno(), start - first + size, access=mmap.ACCESS_COPY, offset=first)
        return np.ndarray(shape, dtype, pages, start - first)


def _temporary_folder() -> Path:
    """Return the folder for temporary files that is on a disk: `/tmp` is often held in memory."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())
