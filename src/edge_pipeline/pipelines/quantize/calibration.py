"""The calibration images: chosen once, read as often as a technique wants them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.interface import Interface
from edge_pipeline.datasets.base import Samples
from edge_pipeline.pipelines.loading import batches


@dataclass(frozen=True)
class Inputs:
    """Batches of the network's inputs, read from the dataset each time."""

    samples: Samples
    interface: Interface
    indices: Sequence[int]
    size: int

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield all batches from the first, each tensor (n, ...)."""
        for batch in batches(self.samples, self.interface, self.indices, self.size):
            yield tuple(torch.from_numpy(one) for one in batch.inputs)

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.indices) // self.size)

    def one_by_one(self) -> "Inputs":
        """Return the same images in batches of one."""
        return Inputs(self.samples, self.interface, self.indices, 1)

    def first(self, count: int) -> "Inputs":
        """Return at most `count` of the images."""
        return Inputs(self.samples, self.interface, self.indices[:count], self.size)


def shortcomings(samples: Samples, chosen: Sequence[int], wanted: int) -> list[str]:
    """Return what is wrong with a choice of calibration images: too few, or classes that none of them shows."""
    found = []
    if len(chosen) < wanted:
        found.append(f"only {len(chosen)} calibration images: the training part has no more, {wanted} were asked for")
    seen: set[int] = set()
    for index in chosen:
        seen.update(_classes(samples.truth(index)))
    missing = [name for number, name in enumerate(samples.classes) if number not in seen]
    if missing and seen:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        found.append(
            f"no calibration image shows {shown} ({len(missing)} of {len(samples.classes)} classes); raise "
            "`quantize.calibration_images`"
        )
    return found


def _classes(truth: Any) -> list[int]:
    """Return the classes that a label names; none where it names no classes."""
    if isinstance(truth, Instances):
        return [int(one) for one in np.unique(truth.classes)]
    if isinstance(truth, int | np.integer):
        return [int(truth)]
    if isinstance(truth, np.ndarray) and truth.dtype == np.uint8:
        return [int(one) for one in np.unique(truth)]
    return []
