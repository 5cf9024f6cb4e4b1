"""Objects in an image, labelled or predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED_LABEL = 255
"""Pixels of a label map that belong to no class and count for nothing."""

Rle = Mapping[str, Any]
"""A mask as COCO's compressed run lengths: `size` (h, w) and `counts` (bytes)."""


@dataclass(frozen=True)
class Instances:
    """The objects of one image of `size` (height, width).

    Attributes:
        size: height and width of the image in pixels.
        boxes: float32 (k, 4), x1 y1 x2 y2 in pixels, the image's left upper corner is 0 0.
        classes: int64 (k,), indices.
        scores: float32 (k,), 0 to 1; 1 for labels.
        masks: one a object, or `None` where there are only boxes.
        crowd: bool (k,), labelled regions of many objects, which count neither for nor against a prediction.
    """

    size: tuple[int, int]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    masks: tuple[Rle, ...] | None
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def of(
        cls,
        size: tuple[int, int],
        boxes: Any,
        classes: Any,
        scores: Any = None,
        masks: "Sequence[Rle] | NDArray[Any] | None" = None,
        crowd: Any = None,
    ) -> "Instances":
        """Return instances of array-likes; `masks` may be dense (k, h, w). Scores default to 1, crowd to false."""
        named = np.asarray(classes, np.int64).reshape(-1)
        return cls(
            size,
            np.asarray(boxes, np.float32).reshape(-1, 4),
            named,
            np.ones(len(named), np.float32) if scores is None else np.asarray(scores, np.float32).reshape(-1),
            encode_masks(masks) if isinstance(masks, np.ndarray) else None if masks is None else tuple(masks),
            np.zeros(len(named), np.bool_) if crowd is None else np.asarray(crowd, np.bool_).reshape(-1),
        )

    def take(self, chosen: Any) -> "Instances":
        """Return those that `chosen` (indices, or one bool each) names."""
        index = np.asarray(chosen)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        masks = None if self.masks is None else tuple(self.masks[int(i)] for i in index)
        return Instances(
            self.size, self.boxes[index], self.classes[index], self.scores[index], masks, self.crowd[index]
        )

    def dense_masks(self) -> NDArray[np.bool_]:
        """Return the masks as bool (k, h, w).

        Raises:
            ValueError: there are only boxes.
        """
        if self.masks is None:
            raise ValueError("these instances have boxes only, no masks")
        return decode_masks(self.masks, self.size)


def encode_masks(dense: NDArray[Any]) -> tuple[Rle, ...]:
    """Return (k, h, w) masks as COCO's compressed run lengths."""
    from faster_coco_eval.core import mask

    return tuple(mask.encode(np.asfortranarray(one, np.uint8)) for one in dense)


def decode_masks(masks: Sequence[Rle], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return compressed run lengths as bool (k, h, w)."""
    from faster_coco_eval.core import mask

    if not masks:
        return np.zeros((0, *size), np.bool_)
    return np.stack([mask.decode(dict(one)) for one in masks]).astype(np.bool_)
