"""The .h5 files of datasets: for every tensor of a network a group with its name, and an array a sample."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.types import TensorSpec
from edge_pipeline.hub.errors import JobError

Tensors = tuple[NDArray[Any], ...]


def read(path: Path, specs: Sequence[TensorSpec], batch: int) -> Iterator[Tensors]:
    """Yield batches of at most `batch` samples, for every tensor of `specs` an array (n, ...) float32.

    Raises:
        JobError: the file is no dataset, or one for another network.
    """
    with _opened(path) as file:
        groups = _groups(file, specs)
        count = _count(groups)
        for start in range(0, count, batch):
            found = []
            for spec in specs:
                rows = [_row(groups[spec.name], index, spec) for index in range(start, min(start + batch, count))]
                found.append(np.concatenate(rows))
            yield tuple(found)


def samples(path: Path, specs: Sequence[TensorSpec]) -> int:
    """Return how many samples a dataset has.

    Raises:
        JobError: the file is no dataset, or one for another network.
    """
    with _opened(path) as file:
        return _count(_groups(file, specs))


class Writer:
    """Writes a dataset sample by sample: `with Writer(path, names) as writer: writer.add(outputs)`."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._file = h5py.File(path, "w")
        self._count = 0
        self._groups = []
        for index, name in enumerate(names):
            group = self._file.create_group(f"data/{index}")
            group.attrs["order"], group.attrs["name"] = index, name
            self._groups.append(group)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        for group in self._groups:
            group.attrs["batch_count"] = self._count
        self._file.close()

    def add(self, outputs: Sequence[NDArray[Any]], count: int) -> None:
        """Append `count` samples, which each tensor (count * k, ...) has along its first axis."""
        for group, values in zip(self._groups, outputs, strict=True):
            for index, one in enumerate(np.split(values, count)):
                group.create_dataset(f"batch_{self._count + index}", data=one, compression="gzip")
        self._count += count


def _opened(path: Path) -> Any:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _wrong("is damaged or no .h5 file; upload it again") from error


def _groups(file: Any, specs: Sequence[TensorSpec]) -> dict[str, Any]:
    """Return the groups by the names of their tensors.

    An .h5 file can name parts of other files of this machine: those are refused.
    """
    try:
        data = _own(file, "data")
        groups = [_own(data, key) for key in data]
        found = {str(group.attrs["name"]): group for group in groups}
    except (KeyError, AttributeError, TypeError, OSError) as error:
        raise _wrong("has no tensors in the order of the qai_hub client; write it with `upload_dataset`") from error
    if set(found) != {spec.name for spec in specs} or len(groups) != len(specs):
        wanted = ", ".join(f"'{spec.name}'" for spec in specs)
        raise _wrong(f"has the tensors {', '.join(map(repr, sorted(found)))}; the model takes {wanted}")
    return found


def _own(group: Any, key: str) -> Any:
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise _wrong("refers to another file, which this hub does not follow")
    return group[key]


def _count(groups: dict[str, Any]) -> int:
    try:
        counts = {name: int(group.attrs["batch_count"]) for name, group in groups.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong("does not say how many samples it has") from error
    count = min(counts.values())
    if len(set(counts.values())) != 1 or count < 1:
        raise _wrong(f"must have as many samples, one at least, for every tensor; it has {counts}")
    return count


def _row(group: Any, index: int, spec: TensorSpec) -> NDArray[Any]:
    key = f"batch_{index}"
    if key not in group:
        raise _wrong(f"lacks sample {index} of '{spec.name}'")
    one = _own(group, key)
    if not isinstance(one, h5py.Dataset) or one.external or one.is_virtual:
        raise _wrong("refers to another file, which this hub does not follow")
    if tuple(one.shape or ()) != spec.shape or one.dtype != np.float32:
        raise _wrong(
            f"has {one.dtype} {tuple(one.shape or ())} as sample {index} of '{spec.name}'; the model takes float32 "
            f"{spec.shape}"
        )
    try:
        values: NDArray[Any] = np.asarray(one)
    except OSError as error:
        raise _wrong(f"is damaged at sample {index} of '{spec.name}'; upload it again") from error
    return values


def _wrong(problem: str) -> JobError:
    return JobError(pb.JOB_FAILURE_TYPE_INVALID_INPUTS, f"the dataset {problem}")
