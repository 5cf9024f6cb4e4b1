"""Objects from the heads of YOLOv8: boxes, the best class of each, non-maximum suppression, masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.interface import YoloBoxes, YoloMaps
from edge_pipeline.tasks.masks import from_prototypes

MAX_CANDIDATES = 3_000
"""Boxes that enter non-maximum suppression, the best ones."""


@dataclass(frozen=True)
class Candidates:
    """Boxes (k, 4) in pixels of the input, the best class of each and its score, mask coefficients (k, channels)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    coefficients: NDArray[np.float32]

    def take(self, chosen: NDArray[Any]) -> "Candidates":
        """Return those that `chosen` names."""
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.coefficients[chosen])


def from_maps(outputs: Sequence[NDArray[Any]], settings: YoloMaps, size: tuple[int, int]) -> Instances:
    """Return the objects in raw head maps of one image, in the order that `YoloMaps` names.

    Raises:
        DeviceError: the number of maps or their channels do not fit `settings`.
    """
    levels = len(settings.strides)
    with_masks = settings.mask_channels > 0
    expected = 3 * levels + 1 if with_masks else 2 * levels
    if len(outputs) != expected:
        raise DeviceError(f"{levels} levels need {expected} outputs of the model, there are {len(outputs)}")
    none = [np.zeros((0, *box.shape[1:]), np.float32) for box in outputs[::2]]
    coefficients = outputs[2 * levels : 3 * levels] if with_masks else none
    found = [
        _level(box, scores, weights, stride, settings)
        for box, scores, weights, stride in zip(
            outputs[: 2 * levels : 2], outputs[1 : 2 * levels : 2], coefficients, settings.strides, strict=True
        )
    ]
    together = Candidates(
        np.concatenate([one.boxes for one in found]),
        np.concatenate([one.scores for one in found]),
        np.concatenate([one.classes for one in found]),
        np.concatenate([one.coefficients for one in found]),
    )
    return _instances(together, outputs[-1] if with_masks else None, settings, size)


def from_boxes(outputs: Sequence[NDArray[Any]], settings: YoloBoxes, size: tuple[int, int]) -> Instances:
    """Return the objects in decoded boxes of one image, in the order that `YoloBoxes` names.

    Raises:
        DeviceError: the number of outputs or their shapes do not fit `settings`.
    """
    with_masks = settings.mask_channels > 0
    if len(outputs) != (5 if with_masks else 3):
        raise DeviceError(f"{5 if with_masks else 3} outputs of the model are needed, there are {len(outputs)}")
    anchors = len(outputs[0])
    shapes = [(anchors, 4), (anchors,), (anchors,), (anchors, settings.mask_channels)]
    for array, shape, name in zip(outputs, shapes, ("boxes", "scores", "class_idx", "mask_coefficients"), strict=False):
        if array.shape != shape:
            raise DeviceError(f"the output `{name}` has shape {array.shape} for an image, expected {shape}")
    scores = outputs[1].astype(np.float32)
    kept = np.flatnonzero(scores > settings.confidence)
    candidates = Candidates(
        outputs[0][kept].astype(np.float32),
        scores[kept],
        np.rint(outputs[2][kept]).astype(np.int64),
        outputs[3][kept].astype(np.float32) if with_masks else np.zeros((len(kept), 0), np.float32),
    )
    return _instances(candidates, outputs[4] if with_masks else None, settings, size)


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64], iou: float, limit: int
) -> NDArray[np.int64]:
    """Return at most `limit` indices, best first: boxes that overlap no better one of their class more than `iou`."""
    left = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while len(left) and len(kept) < limit:
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[left, :2])
        sides = np.maximum(np.minimum(boxes[best, 2:], boxes[left, 2:]) - corner, 0)
        shared = sides[:, 0] * sides[:, 1]
        covered = shared > iou * (areas[best] + areas[left] - shared)
        left = left[~covered | (classes[left] != classes[best])]
    return np.asarray(kept, np.int64)


def _level(
    box: NDArray[Any], scores: NDArray[Any], weights: NDArray[Any], stride: int, settings: YoloMaps
) -> Candidates:
    """Decode the cells of one level whose best class is likely enough (Li et al., Generalized Focal Loss, 2020)."""
    bins = settings.reg_max
    if len(box) != 4 * bins or not box.shape[1:] == scores.shape[1:] == weights.shape[1:]:
        raise DeviceError(
            f"the maps of stride {stride} have shapes {box.shape}, {scores.shape}, {weights.shape}; expected are "
            f"{4 * bins} channels of boxes, then the classes, in maps of one size. Check the order of the outputs."
        )
    width = box.shape[2]
    flat = scores.reshape(len(scores), -1)
    classes = flat.argmax(0)
    likely = _sigmoid(np.take_along_axis(flat, classes[None], 0)[0].astype(np.float32))
    kept = np.flatnonzero(likely > settings.confidence)
    sides = box.reshape(4, bins, -1)[:, :, kept].astype(np.float32)
    sides = np.exp(sides - sides.max(1, keepdims=True))
    distances = np.einsum("sbk,b->sk", sides, np.arange(bins, dtype=np.float32)) / sides.sum(1)
    x, y = (kept % width + 0.5).astype(np.float32), (kept // width + 0.5).astype(np.float32)
    corners = np.stack([x - distances[0], y - distances[1], x + distances[2], y + distances[3]], 1)
    return Candidates(
        (corners * np.float32(stride)).astype(np.float32),
        likely[kept],
        classes[kept].astype(np.int64),
        weights.reshape(len(weights), flat.shape[1])[:, kept].T.astype(np.float32),
    )


def _instances(
    found: Candidates, prototypes: NDArray[Any] | None, settings: YoloMaps | YoloBoxes, size: tuple[int, int]
) -> Instances:
    kept = found.take(suppress(found.boxes, found.scores, found.classes, settings.iou, settings.max_detections))
    height, width = size
    boxes = np.clip(kept.boxes, 0, np.asarray([width, height, width, height], np.float32))
    masks = (
        None if prototypes is None else from_prototypes(kept.coefficients, prototypes.astype(np.float32), boxes, size)
    )
    return Instances.of(size, boxes, kept.classes, kept.scores, masks)


def _sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -80, 80)))
