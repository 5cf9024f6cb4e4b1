"""Masks of single objects as run lengths, without ever holding many of them in full size."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Rle
from edge_pipeline.core.preprocessing import Geometry
from edge_pipeline.tasks.resize import Axis, enlarge


def from_prototypes(
    coefficients: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    boxes: NDArray[np.float32],
    size: tuple[int, int],
) -> list[Rle]:
    """Return one mask an object: where the weighted sum of enlarged prototypes is positive, within its box.

    Only the prototypes' pixels below the box are touched (Bolya et al., YOLACT, 2019).

    Args:
        coefficients: weights (k, channels).
        prototypes: (channels, h, w), of any resolution.
        boxes: (k, 4), x1 y1 x2 y2 in pixels, within `size`.
        size: height and width of the masks.
    """
    rows, columns = Axis.of(prototypes.shape[1], size[0]), Axis.of(prototypes.shape[2], size[1])
    masks = []
    for weights, (x0, y0, x1, y1) in zip(coefficients, np.ceil(boxes).astype(np.int64), strict=True):
        region = np.zeros((0, 0), np.bool_)
        if x1 > x0 and y1 > y0:
            down, top, bottom = rows.part(y0, y1)
            across, left, right = columns.part(x0, x1)
            region = enlarge(np.tensordot(weights, prototypes[:, top:bottom, left:right], 1), down, across) > 0
        masks.append(encode_region(region, y0, x0, size))
    return masks


def to_original(masks: Sequence[Rle], geometry: Geometry) -> list[Rle]:
    """Return masks of the input in the frame of the original picture; each pixel takes the nearest one of the input."""
    from faster_coco_eval.core import mask

    height, width = geometry.original
    rows = _places(height, geometry.scale_y, geometry.top)
    columns = _places(width, geometry.scale_x, geometry.left)
    moved = []
    for one in masks:
        x, y, w, h = np.asarray(mask.toBbox(dict(one))).astype(np.int64)
        y0, y1 = np.searchsorted(rows, (y, y + h))
        x0, x1 = np.searchsorted(columns, (x, x + w))
        region = mask.decode(dict(one))[rows[y0:y1, None], columns[None, x0:x1]]
        moved.append(encode_region(region, int(y0), int(x0), geometry.original))
    return moved


def _places(length: int, scale: float, shift: float) -> NDArray[np.int64]:
    places: NDArray[np.int64] = np.floor((np.arange(length) + 0.5 + shift / scale) * scale).astype(np.int64)
    return places


def encode_region(region: NDArray[Any], top: int, left: int, size: tuple[int, int]) -> Rle:
    """Return the run lengths of a mask of `size`, empty but for `region` (h, w), which begins at `top`, `left`."""
    from faster_coco_eval.core import mask

    height, width = size
    strip = np.zeros((region.shape[1], height), np.bool_)
    strip[:, top : top + region.shape[0]] = region.T
    # Run lengths go down column after column, and begin with the number of empty pixels.
    padded = np.concatenate([[False], strip.ravel(), [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1]) + left * height
    total = height * width
    counts = np.diff(changes[changes < total], prepend=0, append=total)
    encoded: Rle = mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return encoded
