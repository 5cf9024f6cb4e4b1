"""Read samples lazily as what a network takes, in this process or in several."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError, EdgePipelineError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.preprocessing import Geometry, Picture, fit, normalise
from edge_pipeline.datasets.base import Samples

Change = Callable[[Picture, Any, int, int], tuple[Picture, Any]]
"""(fitted picture, truth in the input's frame, epoch, index) -> both changed; draws its random numbers from the two."""


@dataclass(frozen=True)
class Batch:
    """`inputs`, each (n, ...); for each of the n samples its index, where its picture lies, and perhaps its truth."""

    inputs: tuple[NDArray[np.float32], ...]
    indices: tuple[int, ...]
    geometries: tuple[Geometry | None, ...]
    truths: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)


def read(samples: Samples, interface: Interface, index: int) -> tuple[tuple[NDArray[np.float32], ...], Geometry | None]:
    """Return the inputs of sample `index`, without the batch axis, and where its picture lies in them.

    Raises:
        DatasetError: the sample cannot be read, or has another shape.
    """
    if interface.preprocessing is None:
        arrays: Any = samples.inputs(index)  # type: ignore[attr-defined]
        return _checked(arrays, interface, index), None
    picture, geometry = _fitted(samples, interface, index)
    return (normalise(picture, interface.preprocessing),), geometry


def batches(samples: Samples, interface: Interface, indices: Sequence[int], size: int) -> Iterator[Batch]:
    """Yield the samples of `indices`, in their order, at most `size` at a time, without truths."""
    for start in range(0, len(indices), size):
        chosen = tuple(indices[start : start + size])
        yield _collate([(index, *read(samples, interface, index), None) for index in chosen])


def training_batches(
    samples: Samples,
    interface: Interface,
    order: Sequence[int],
    size: int,
    *,
    workers: int,
    epoch: int,
    change: Change | None = None,
) -> Iterator[Batch]:
    """Yield the samples of `order` with truths in the input's frame, read by `workers` processes (0: by this one).

    There are at most as many as processors. What is yielded does not depend on the number of workers.
    """
    from torch.utils.data import DataLoader

    keys = [order[start : start + size] for start in range(0, len(order), size)]
    loader: Any = DataLoader(
        _Reader(samples, interface, epoch, change),  # type: ignore[arg-type]
        batch_sampler=keys,  # type: ignore[arg-type]
        num_workers=min(workers, len(keys), len(os.sched_getaffinity(0))),
        collate_fn=list,
        worker_init_fn=_quiet_worker,
    )
    for items in loader:
        for item in items:
            if isinstance(item, EdgePipelineError):
                raise item
        yield _collate(items)


class _Reader:
    """What a worker process holds. Errors come back as values, because a raised one would lose its message."""

    def __init__(self, samples: Samples, interface: Interface, epoch: int, change: Change | None) -> None:
        self._samples, self._interface, self._epoch, self._change = samples, interface, epoch, change

    def __getitem__(self, index: int) -> Any:
        try:
            return self._read(index)
        except EdgePipelineError as error:
            return error

    def _read(self, index: int) -> Any:
        preprocessing = self._interface.preprocessing
        if preprocessing is None:
            inputs, _ = read(self._samples, self._interface, index)
            return index, inputs, None, self._samples.truth(index)
        picture, geometry = _fitted(self._samples, self._interface, index)
        truth = to_input(self._samples.truth(index), geometry)
        if self._change:
            picture, truth = self._change(picture, truth, self._epoch, index)
        return index, (normalise(picture, preprocessing),), geometry, truth


def to_input(truth: Any, geometry: Geometry) -> Any:
    """Return `truth` in the input's frame; what has no place in the picture stays as it is."""
    if isinstance(truth, Instances):
        return geometry.instances_to_input(truth)
    if isinstance(truth, np.ndarray) and truth.dtype == np.uint8 and truth.shape == geometry.original:
        return geometry.labels_to_input(truth)
    return truth


def _fitted(samples: Samples, interface: Interface, index: int) -> tuple[Picture, Geometry]:
    assert interface.preprocessing is not None
    picture = samples.picture(index)
    try:
        return fit(picture, interface.preprocessing)
    except DatasetError as error:
        where = samples.name(index) if hasattr(samples, "name") else f"number {index} of the dataset"
        raise DatasetError(f"the image {where} cannot be used: {error}") from error


def _checked(arrays: Any, interface: Interface, index: int) -> tuple[NDArray[np.float32], ...]:
    found = tuple(np.asarray(one, np.float32) for one in arrays)
    wanted = [tensor.shape[1:] for tensor in interface.inputs]
    if [one.shape for one in found] != wanted:
        raise DatasetError(
            f"sample {index} has inputs of shapes {[one.shape for one in found]}, the model takes {wanted} "
            "(without the batch axis)"
        )
    return found


def _collate(items: Sequence[Any]) -> Batch:
    indices, inputs, geometries, truths = zip(*items, strict=True)
    stacked = tuple(np.stack(one) for one in zip(*inputs, strict=True))
    return Batch(stacked, indices, geometries, truths)


def _quiet_worker(_: int) -> None:
    """Leave Ctrl-C to the parent, which ends its workers; forget its handler of SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
