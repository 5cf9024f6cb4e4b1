"""The training loss of `ultralytics` on raw head maps."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from edge_pipeline.core.annotations import Instances
from edge_pipeline.models.yolov8_network import Yolov8, ultralytics

_GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
"""Weights of box overlap (and mask), class and box distribution: the defaults of `ultralytics`."""


class Yolov8Loss:
    """Mean loss of a batch: box overlap, class, box distribution, and masks where the head makes them.

    Labels of crowds and labels without an area are left out.

    Args:
        net: the network that is trained.
    """

    def __init__(self, net: Yolov8) -> None:
        head: Any = net.model[-1]
        self._masks = hasattr(head, "proto")
        self._levels = int(head.nl)
        described = SimpleNamespace(
            args=SimpleNamespace(**_GAINS, overlap_mask=False), model=net.model, parameters=net.parameters
        )
        with ultralytics():
            from ultralytics.utils.loss import v8DetectionLoss, v8SegmentationLoss

            self._loss = (v8SegmentationLoss if self._masks else v8DetectionLoss)(described)

    def __call__(self, maps: tuple[torch.Tensor, ...], truths: Sequence[Instances]) -> torch.Tensor:
        """Return the loss.

        Args:
            maps: what `Yolov8.training_outputs` gives for images.
            truths: the labels of each image, in the frame of the input.
        """
        loss, _ = self._loss(self._predictions(maps), self._labels(maps, truths))
        mean: torch.Tensor = loss.sum() / len(truths)
        return mean

    def _predictions(self, maps: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        pairs, rest = maps[: 2 * self._levels], maps[2 * self._levels :]
        found = {"boxes": _flat(pairs[0::2]), "scores": _flat(pairs[1::2]), "feats": list(pairs[0::2])}
        return {**found, "mask_coefficient": _flat(rest[:-1]), "proto": rest[-1]} if self._masks else found

    def _labels(self, maps: tuple[torch.Tensor, ...], truths: Sequence[Instances]) -> dict[str, torch.Tensor]:
        chosen = [_usable(truth) for truth in truths]
        boxes = np.concatenate([truth.boxes / _whole(truth) for truth in chosen])
        centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        labels = {
            "batch_idx": torch.repeat_interleave(torch.tensor([len(truth) for truth in chosen])).float(),
            "cls": torch.from_numpy(np.concatenate([truth.classes for truth in chosen])).float(),
            "bboxes": torch.from_numpy(np.concatenate([centres, sizes], 1)).float(),
        }
        if self._masks:
            dense = torch.from_numpy(np.concatenate([truth.dense_masks() for truth in chosen])).float()
            labels["masks"] = functional.interpolate(dense[:, None], maps[-1].shape[-2:], mode="area")[:, 0]
        return {name: values.to(maps[0].device) for name, values in labels.items()}


def _flat(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join maps (n, c, h, w) of several levels to (n, c, anchors)."""
    return torch.cat([one.flatten(2) for one in maps], 2)


def _usable(truth: Instances) -> Instances:
    return truth.take(~truth.crowd & (truth.boxes[:, 2:] > truth.boxes[:, :2]).all(1))


def _whole(truth: Instances) -> Any:
    height, width = truth.size
    return np.asarray([width, height] * 2, np.float32)
