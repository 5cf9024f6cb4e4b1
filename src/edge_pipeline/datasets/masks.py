"""The masks of a whole dataset in a few flat arrays: polygons as they were drawn, run lengths compressed."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Rle

_CHUNK = 4096


class Masks:
    """One mask an object, in the order in which they were added.

    Polygons keep their coordinates as float64: rounding them would move a pixel now and then against COCO's own tools.
    """

    def __init__(self) -> None:
        self._coordinates = array("d")
        self._polygon_ends = array("q")
        self._object_ends = array("q")
        self._runs = bytearray()
        self._run_ends = array("q")
        self._heights, self._widths = array("i"), array("i")

    def __len__(self) -> int:
        return len(self._object_ends)

    def add(self, segmentation: Any) -> None:
        """Append the mask of an object: COCO's list of polygons, or its run lengths, compressed or not.

        Raises:
            ValueError: it is neither; says what is wrong.
        """
        height = width = 0
        if isinstance(segmentation, Mapping):
            height, width, counts = _compressed(segmentation)
            self._runs += counts
        elif isinstance(segmentation, list) and segmentation:
            for polygon in segmentation:
                self._add_polygon(polygon)
        else:
            raise ValueError("it has no mask (`segmentation`: polygons or run lengths)")
        self._object_ends.append(len(self._polygon_ends))
        self._run_ends.append(len(self._runs))
        self._heights.append(height)
        self._widths.append(width)

    def rle(self, index: int, size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> Rle:
        """Return the mask of object `index` in an image of `size` (h, w), coordinates multiplied by `scale` (x, y)."""
        from faster_coco_eval.core import mask

        first, last = self._range(self._object_ends, index)
        if first == last:
            start, end = self._range(self._run_ends, index)
            return {"size": list(size), "counts": bytes(self._runs[start:end])}
        coordinates = np.frombuffer(self._coordinates, np.float64)
        outlines = []
        for polygon in range(first, last):
            start, end = self._range(self._polygon_ends, polygon)
            outlines.append((coordinates[start:end].reshape(-1, 2) * scale).reshape(-1))
        shapes = mask.frPyObjects(outlines, *size)
        merged: Rle = shapes[0] if len(shapes) == 1 else mask.merge(shapes)
        return merged

    def extents(self) -> NDArray[np.float64]:
        """Return x1 y1 x2 y2 (k, 4) around the polygons of each object; NaN for run lengths and where one is NaN."""
        around = np.full((len(self), 4), np.nan)
        ends = np.frombuffer(self._object_ends, np.int64)
        drawn = np.flatnonzero(np.diff(ends, prepend=0))
        if len(drawn):
            polygon_starts = np.concatenate([[0], np.frombuffer(self._polygon_ends, np.int64)])
            first = polygon_starts[np.concatenate([[0], ends])[drawn]] // 2
            points = np.frombuffer(self._coordinates, np.float64).reshape(-1, 2)
            for axis in (0, 1):
                around[drawn, axis] = np.minimum.reduceat(points[:, axis], first)
                around[drawn, axis + 2] = np.maximum.reduceat(points[:, axis], first)
        return around

    def has_polygons(self) -> NDArray[np.bool_]:
        """Tell of each object whether polygons make its mask, bool (k,)."""
        return np.diff(np.frombuffer(self._object_ends, np.int64), prepend=0) > 0

    def run_sizes(self) -> NDArray[np.int64]:
        """Return height and width (k, 2) that the run lengths of each object name; 0 0 for polygons."""
        return np.stack([np.asarray(self._heights, np.int64), np.asarray(self._widths, np.int64)], 1)

    def run_totals(self) -> NDArray[np.int64]:
        """Return the sum of the run lengths of each object (k,), -1 where they are malformed, 0 for polygons."""
        ends = np.concatenate([[0], np.frombuffer(self._run_ends, np.int64)])
        totals = np.zeros(len(self), np.int64)
        coded = np.flatnonzero(np.diff(ends))
        for at in range(0, len(coded), _CHUNK):
            chosen = coded[at : at + _CHUNK]
            codes = np.frombuffer(self._runs[ends[chosen[0]] : ends[chosen[-1] + 1]], np.uint8)
            totals[chosen] = _totals(codes, ends[chosen] - ends[chosen[0]])
        return totals

    def content(self) -> list[bytes]:
        """Return everything the masks are made of, for hashing."""
        columns = (self._coordinates, self._polygon_ends, self._object_ends, self._run_ends)
        return [*(column.tobytes() for column in columns), bytes(self._runs)]

    def _add_polygon(self, polygon: Any) -> None:
        if not isinstance(polygon, list):
            raise ValueError("its `segmentation` is not a list of polygons, each a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                f"a polygon of it has {len(polygon)} numbers, an even number is expected, x y for at least 3 points"
            )
        try:
            self._coordinates.extend(polygon)
        except (TypeError, OverflowError):
            raise ValueError("a polygon of it holds something that is no number") from None
        self._polygon_ends.append(len(self._coordinates))

    @staticmethod
    def _range(ends: Sequence[int], index: int) -> tuple[int, int]:
        return (ends[index - 1] if index else 0), ends[index]


def _compressed(segmentation: Mapping[str, Any]) -> tuple[int, int, bytes]:
    """Return height, width and COCO's compressed counts of run lengths."""
    from faster_coco_eval.core import mask

    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(one) is int and 0 < one < 2**31 for one in size)):
        raise ValueError(f"its run lengths have the size {size}, height and width are expected")
    if isinstance(counts, str):
        if not counts or not counts.isascii():
            raise ValueError("its compressed run lengths are malformed")
        return size[0], size[1], counts.encode()
    if not isinstance(counts, list) or not all(type(run) is int and run >= 0 for run in counts):
        raise ValueError("its run lengths are neither a text nor a list of whole numbers")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"its run lengths add up to {sum(counts)} pixels, {size[0]}x{size[1]} are expected")
    return size[0], size[1], bytes(mask.frPyObjects({"size": size, "counts": counts}, *size)["counts"])


def _totals(codes: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add up COCO's compressed run lengths, object by object; -1 where the code is malformed.

    A number is written in groups of 5 bits, the low ones first, each + 48, bit 5 set if another follows, bit 4 of the
    last is the sign. From the fourth on it is the difference to the number two before.
    """
    groups = codes.astype(np.int64) - 48
    last = (groups & 32) == 0
    object_ends = np.append(starts[1:], len(codes)) - 1
    number_ends = np.flatnonzero(last | np.isin(np.arange(len(codes)), object_ends))
    number_starts = np.concatenate([[0], number_ends[:-1] + 1])
    lengths = number_ends - number_starts + 1
    shift = 5 * (np.arange(len(codes)) - np.repeat(number_starts, lengths))
    values = np.add.reduceat((groups & 31) << np.minimum(shift, 55), number_starts)
    values -= np.where(groups[number_ends] & 16, np.int64(1) << np.minimum(5 * lengths, 60), 0)
    first = np.searchsorted(number_starts, starts)
    count = np.diff(np.append(first, len(number_starts)))
    position = np.arange(len(number_starts)) - np.repeat(first, count)
    weight = np.where(position == 0, 1, (np.repeat(count, count) - 1 - position) // 2 + 1)
    totals: NDArray[np.int64] = np.add.reduceat(values * weight, first)
    wrong = np.logical_or.reduceat((groups < 0) | (groups > 63) | (shift > 30), starts) | ~last[object_ends]
    return np.where(wrong, -1, totals)
