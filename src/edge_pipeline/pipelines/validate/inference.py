"""Run a compiled model on a device, sample by sample of a dataset."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.interface import Interface, Raw
from edge_pipeline.core.progress import track

if TYPE_CHECKING:
    from edge_pipeline.datasets.base import Samples
    from edge_pipeline.devices.agent.tensors import Tensors

    Infer = Callable[[Iterable[Tensors]], Iterator[Tensors]]

BATCH_BYTES = 128 * 2**20
"""Size of the inputs and outputs that are held in memory and exchanged with a device at a time."""


def predictions(
    infer: "Infer", samples: "Samples", interface: Interface, order: Sequence[int], step: str, size: int
) -> Iterator[tuple[int, Any]]:
    """Yield (index, prediction in the picture's own frame) of each sample of `order`.

    Args:
        infer: takes batches of inputs, yields batches of outputs; see `Device.infer`.
        samples: the dataset.
        interface: of the network.
        order: indices of samples.
        step: name of the progress bar.
        size: number of samples that are exchanged with the device at a time.
    """
    from edge_pipeline.pipelines.loading import batches
    from edge_pipeline.tasks.decode import decode, restore

    waiting: deque[Any] = deque()
    raw = isinstance(interface.postprocessing, Raw)

    def inputs() -> Iterator["Tensors"]:
        for batch in batches(samples, interface, order, size):
            waiting.extend(zip(batch.indices, batch.geometries, strict=True))
            yield batch.inputs

    for outputs in track(infer(inputs()), step, math.ceil(len(order) / size)):
        for prediction in decode(outputs, interface):
            index, geometry = waiting.popleft()
            yield index, prediction if geometry is None or raw else restore(prediction, geometry)


def outputs_of(infer: "Infer", inputs: "Tensors", size: int) -> "Tensors":
    """Return the outputs, each (n, ...), of `inputs`, each (n, ...), `size` of them at a time."""
    import numpy as np

    pieces = (tuple(one[i : i + size] for one in inputs) for i in range(0, len(inputs[0]), size))
    return tuple(np.concatenate(one) for one in zip(*infer(pieces), strict=True))


def batch_size(interface: Interface) -> int:
    """Return how many samples are exchanged with a device at a time."""
    tensors = [*interface.inputs, *interface.outputs]
    return max(1, BATCH_BYTES // (4 * sum(math.prod(tensor.shape) for tensor in tensors)))
