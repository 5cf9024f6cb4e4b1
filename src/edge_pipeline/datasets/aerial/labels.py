"""From the owner of each pixel to labels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances, Rle
from edge_pipeline.datasets.aerial.settings import OBJECT_CLASSES

LEAST_PIXELS = 10
"""Objects with fewer visible pixels are not labelled; a whole person has 15 from 100 m."""

LEAST_VISIBLE = 0.25
"""Objects of which a smaller share is visible, inside the picture and not hidden, are not labelled."""


def label(
    kinds: Sequence[str], areas: Sequence[int], owner: NDArray[np.int32], surface: NDArray[np.uint8]
) -> tuple[Instances, NDArray[np.uint8]]:
    """Return the labelled objects and the semantic map; pixels of objects that are not labelled are ignored ones.

    Args:
        kinds: name of each object's class; object i has number i + 1 in `owner`.
        areas: pixels of each object if nothing hid it.
        owner: number of the object that is visible in each pixel, 0 for none.
        surface: index of `SURFACE_CLASSES` of each pixel.
    """
    from scipy import ndimage

    labels = surface.copy()
    boxes, classes, masks = [], [], []
    for number, where in enumerate(ndimage.find_objects(owner, len(areas))):
        if where is None:
            continue
        mask = owner[where] == number + 1
        visible = int(mask.sum())
        if visible < LEAST_PIXELS or visible < LEAST_VISIBLE * areas[number]:
            labels[where][mask] = IGNORED_LABEL
            continue
        rows, columns = where
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        classes.append(OBJECT_CLASSES.index(kinds[number]))
        masks.append(_run_lengths(mask, rows.start, columns.start, owner.shape))
    return Instances.of((owner.shape[0], owner.shape[1]), boxes, classes, masks=masks), labels


def _run_lengths(mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, ...]) -> Rle:
    """Encode a mask that is false outside a small part; the whole picture is never visited."""
    from faster_coco_eval.core import mask as coco

    columns, rows = np.nonzero(mask.T)
    at = (columns + left) * size[0] + rows + top
    breaks = np.flatnonzero(np.diff(at) != 1)
    starts = np.concatenate([at[:1], at[breaks + 1]])
    stops = np.concatenate([at[breaks], at[-1:]]) + 1
    edges = np.concatenate([[0], np.stack([starts, stops], 1).reshape(-1), [size[0] * size[1]]])
    counts = np.diff(edges)
    counts = counts[: len(counts) - (counts[-1] == 0)].tolist()
    encoded: Rle = coco.frPyObjects({"size": list(size), "counts": counts}, size[0], size[1])
    return encoded
