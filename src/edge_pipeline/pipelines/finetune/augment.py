"""Random changes of a training picture and of its label together."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.pipelines.finetune.parameters import AugmentParameters

LEAST_VISIBLE = 0.2
"""Share of an object's box that must stay in the picture for the object to stay a label."""


@dataclass(frozen=True)
class Augment:
    """Changes pictures of one training; sent to worker processes. Everything is drawn from (seed, epoch, index)."""

    parameters: AugmentParameters
    seed: int
    fill: int

    def __call__(self, picture: Picture, truth: Any, epoch: int, index: int) -> tuple[Picture, Any]:
        """Return the changed picture and truth."""
        p, random = self.parameters, np.random.default_rng([self.seed, epoch, index])
        height, width = picture.shape[:2]
        forward = _matrix(p, random, height, width)
        backward = np.linalg.inv(forward)
        image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
        fill: Any = self.fill if picture.shape[2] == 1 else (self.fill,) * 3
        if not np.allclose(forward, np.eye(3)):
            image = _warped(image, backward, Image.Resampling.BILINEAR, fill)
            truth = _warped_truth(truth, forward, backward)
        if p.color:
            image = _recolored(image, p.color, random)
        return np.asarray(image).reshape(picture.shape), truth


def _matrix(p: AugmentParameters, random: np.random.Generator, height: int, width: int) -> NDArray[np.floating[Any]]:
    """Return the 3x3 matrix that moves points of the picture: scale and rotate about its middle, mirror, shift."""
    angle = math.radians(random.uniform(-p.rotate_degrees, p.rotate_degrees))
    scale = 1 + random.uniform(-p.scale, p.scale)
    move_x, move_y = random.uniform(-p.shift, p.shift, 2) * (width, height)
    mirror_x, mirror_y = np.where(random.random(2) < (p.flip_horizontal, p.flip_vertical), -1.0, 1.0)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    turn = np.asarray([[cos, -sin], [sin, cos]]) @ np.diag([mirror_x, mirror_y])
    middle = np.asarray([width / 2, height / 2])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = middle - turn @ middle + (move_x, move_y)
    return matrix


def _warped(
    image: Image.Image, backward: NDArray[np.floating[Any]], resampling: Image.Resampling, fill: Any
) -> Image.Image:
    data = tuple(backward[:2].ravel().tolist())
    return image.transform(image.size, Image.Transform.AFFINE, data, resampling, fillcolor=fill)


def _warped_truth(truth: Any, forward: NDArray[np.floating[Any]], backward: NDArray[np.floating[Any]]) -> Any:
    if isinstance(truth, Instances):
        return _warped_instances(truth, forward, backward)
    if isinstance(truth, np.ndarray) and truth.ndim == 2 and truth.dtype == np.uint8:
        return np.asarray(_warped(Image.fromarray(truth), backward, Image.Resampling.NEAREST, IGNORED_LABEL))
    return truth


def _warped_instances(
    found: Instances, forward: NDArray[np.floating[Any]], backward: NDArray[np.floating[Any]]
) -> Instances:
    """Move boxes by the corners, masks pixel by pixel; drop what is mostly outside."""
    corners = found.boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]].astype(np.float64)
    moved = corners @ forward[:2, :2].T + forward[:2, 2]
    whole = np.concatenate([moved.min(1), moved.max(1)], 1)
    limits = np.asarray([found.size[1], found.size[0]] * 2, np.float64)
    boxes = np.clip(whole, 0, limits).astype(np.float32)
    masks = None
    if found.masks is not None:
        planes = [
            np.asarray(_warped(Image.fromarray(plane), backward, Image.Resampling.NEAREST, 0))
            for plane in found.dense_masks().astype(np.uint8)
        ]
        masks = np.stack(planes) if planes else np.zeros((0, *found.size), np.uint8)
    visible = _areas(boxes) / np.maximum(_areas(whole), 1e-9)
    keep = (visible >= LEAST_VISIBLE) & (_areas(boxes) >= 1)
    return Instances.of(found.size, boxes, found.classes, found.scores, masks, found.crowd).take(keep)


def _areas(boxes: NDArray[Any]) -> NDArray[Any]:
    areas: NDArray[Any] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _recolored(image: Image.Image, share: float, random: np.random.Generator) -> Image.Image:
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for enhancer, factor in zip(enhancers, 1 + random.uniform(-share, share, 3), strict=True):
        if enhancer is not ImageEnhance.Color or image.mode == "RGB":
            image = enhancer(image).enhance(float(factor))
    return image
