"""The .h5 files of datasets: for every tensor a group with its name, and an array a sample."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.devices.agent.tensors import Tensors

CHUNK_BYTES = 500 * 10**6
"""Most that the inputs of one dataset may have before they are compressed; a larger one becomes several."""


def check(inputs: Tensors, specs: Sequence[TensorSpec]) -> None:
    """Check that `inputs`, each (n, ...), are those that a model takes.

    Raises:
        DeviceError: there are more or fewer, or one has another shape.
    """
    wanted = ", ".join(f"{spec.name} (n, {', '.join(map(str, spec.shape[1:]))})" for spec in specs)
    given = ", ".join(str(one.shape) for one in inputs)
    fits = len(inputs) == len(specs) and all(
        one.shape[1:] == spec.shape[1:] and one.shape[0] == inputs[0].shape[0] > 0
        for one, spec in zip(inputs, specs, strict=True)
    )
    if not fits:
        raise DeviceError(f"the inputs have the shapes {given}; the model takes {wanted}: nothing was sent")


def chunks(batches: Iterable[Tensors], largest: int) -> Iterator[list[Tensors]]:
    """Yield lists of batches that together have at most `largest` bytes; a larger batch is alone."""
    held: list[Tensors] = []
    size = 0
    for batch in batches:
        more = sum(one.nbytes for one in batch)
        if held and size + more > largest:
            yield held
            held, size = [], 0
        held.append(batch)
        size += more
    if held:
        yield held


def digest(batches: Iterable[Tensors], specs: Sequence[TensorSpec]) -> str:
    """Return the hash of a dataset's content; `batches` are iterated once for every tensor."""
    found = hashlib.sha256()
    for index, spec in enumerate(specs):
        found.update(f"{spec.name} {spec.shape[1:]} {spec.dtype} ".encode())
        for batch in batches:
            found.update(np.ascontiguousarray(batch[index], dtype=spec.dtype).data)
    return found.hexdigest()


def write(path: Path, batches: Iterable[Tensors], specs: Sequence[TensorSpec]) -> None:
    """Write a dataset, in the order in which the client writes it; `batches` are iterated once for every tensor."""
    import h5py

    with h5py.File(path, "w") as file:
        for index, spec in enumerate(specs):
            rows = (row for batch in batches for row in np.asarray(batch[index], dtype=spec.dtype))
            group = file.create_group(f"data/{index}")
            count = 0
            for count, row in enumerate(rows, start=1):
                group.create_dataset(f"batch_{count - 1}", data=row[None], compression="gzip", compression_opts=1)
            group.attrs["order"], group.attrs["name"], group.attrs["batch_count"] = index, spec.name, count


def read(path: Path, specs: Sequence[TensorSpec], counts: Sequence[int]) -> Iterator[Tensors]:
    """Yield batches of `counts` samples of a dataset that a Hub made, each tensor (n, ...) as `specs` has them.

    Raises:
        DeviceError: it is damaged, or has other tensors or another number of samples.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            groups = {str(group.attrs["name"]): group for group in file["data"].values()}
            start = 0
            for count in counts:
                yield tuple(_rows(groups[spec.name], spec, start, count) for spec in specs)
                start += count
            spare = [name for name, group in groups.items() if int(group.attrs["batch_count"]) != start]
    except (OSError, KeyError, AttributeError, ValueError) as error:
        names = ", ".join(spec.name for spec in specs)
        raise DeviceError(f"the outputs from AI Hub are not the {sum(counts)} samples of {names}: {error}") from error
    if spare:
        raise DeviceError(f"the outputs from AI Hub have more than {sum(counts)} samples of {', '.join(spare)}")


def _rows(group: Any, spec: TensorSpec, start: int, count: int) -> Any:
    rows = [np.asarray(group[f"batch_{index}"]) for index in range(start, start + count)]
    found = np.concatenate(rows).astype(spec.dtype, copy=False)
    # the batch of an output may be larger than 1, such as one row for each box
    if found.shape[1:] != spec.shape[1:] or len(found) != count * spec.shape[0]:
        raise ValueError(f"'{spec.name}' has the shape {rows[0].shape}, not {spec.shape}")
    return found
