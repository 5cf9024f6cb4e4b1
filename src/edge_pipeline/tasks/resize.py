"""Bilinear enlargement with half-pixel centres, as `align_corners=False` does it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Axis(NamedTuple):
    """For each pixel of the enlarged axis: the two source pixels it lies between, and the weight of the second."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[np.float32]

    @classmethod
    def of(cls, source: int, target: int) -> "Axis":
        """Return the places of `target` pixels between `source` pixels."""
        places = np.maximum((np.arange(target) + 0.5) * (source / target) - 0.5, 0)
        lower = np.minimum(places.astype(np.int64), source - 1)
        return cls(lower, np.minimum(lower + 1, source - 1), (places - lower).astype(np.float32))

    def part(self, start: int, end: int) -> "tuple[Axis, int, int]":
        """Return the places of pixels `start` to `end` within source pixels `first` to `last`, and `first`, `last`."""
        first, last = int(self.lower[start]), int(self.upper[end - 1]) + 1
        within = Axis(self.lower[start:end] - first, self.upper[start:end] - first, self.weight[start:end])
        return within, first, last


def enlarge(plane: NDArray[np.float32], rows: Axis, columns: Axis) -> NDArray[np.float32]:
    """Return (len(rows), len(columns)) values of a plane (h, w)."""
    left, right = plane[:, columns.lower], plane[:, columns.upper]
    wide = left + (right - left) * columns.weight
    above, below = wide[rows.lower], wide[rows.upper]
    below -= above
    below *= rows.weight[:, None]
    below += above
    return below
