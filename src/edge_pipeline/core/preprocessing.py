"""Bring pictures to the input of a network, labels with them, and predictions back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.interface import Preprocessing

Picture = NDArray[np.uint8]
"""(height, width, channels), 0 to 255; 1 channel is grey, 3 are red, green, blue."""


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of a picture of size `original` come to lie in an input of size `target` (height, width).

    A point (x, y) goes to (x * scale_x + left, y * scale_y + top).
    """

    original: tuple[int, int]
    target: tuple[int, int]
    scale_x: float
    scale_y: float
    left: float
    top: float

    def boxes_to_input(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (k, 4) of the picture into the input, clipped to it."""
        moved = boxes * self._scales + self._shifts
        return _clipped(moved, self.target)

    def boxes_to_original(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (k, 4) of the input into the picture, clipped to it."""
        return _clipped((boxes - self._shifts) / self._scales, self.original)

    def instances_to_input(self, found: Instances) -> Instances:
        """Map labels of the picture into the input; what lies outside of it is dropped."""
        if self._changes_nothing:
            return found
        boxes = self.boxes_to_input(found.boxes)
        masks = None if found.masks is None else self._forth(found.dense_masks().astype(np.uint8), 0)
        moved = Instances.of(self.target, boxes, found.classes, found.scores, masks, found.crowd)
        return moved.take((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))

    def instances_to_original(self, found: Instances) -> Instances:
        """Map predictions in the input into the picture."""
        if self._changes_nothing:
            return found
        masks = None if found.masks is None else self._back(found.dense_masks().astype(np.uint8))
        boxes = self.boxes_to_original(found.boxes)
        return Instances.of(self.original, boxes, found.classes, found.scores, masks, found.crowd)

    def labels_to_input(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map a label map (h, w) of the picture into the input; filled pixels are ignored ones."""
        placed: NDArray[np.uint8] = self._forth(labels[None], IGNORED_LABEL)[0]
        return placed

    def labels_to_original(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map a label map (h, w) of the input into the picture; what the input did not show is ignored."""
        placed: NDArray[np.uint8] = self._back(labels[None], IGNORED_LABEL)[0]
        return placed

    @property
    def _changes_nothing(self) -> bool:
        return self.original == self.target and (self.scale_x, self.scale_y, self.left, self.top) == (1, 1, 0, 0)

    @property
    def _scales(self) -> NDArray[np.float32]:
        return np.asarray([self.scale_x, self.scale_y] * 2, np.float32)

    @property
    def _shifts(self) -> NDArray[np.float32]:
        return np.asarray([self.left, self.top] * 2, np.float32)

    def _forth(self, planes: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        return _sampled(planes, self.target, 1 / self.scale_x, 1 / self.scale_y, -self.left, -self.top, fill)

    def _back(self, planes: NDArray[np.uint8], fill: int = 0) -> NDArray[np.uint8]:
        return _sampled(
            planes,
            self.original,
            self.scale_x,
            self.scale_y,
            self.left / self.scale_x,
            self.top / self.scale_y,
            fill,
        )


def geometry(size: tuple[int, int], preprocessing: Preprocessing) -> Geometry:
    """Return where a picture of `size` (height, width) comes to lie.

    Raises:
        DatasetError: `fit` is `exact` and the size is another.
    """
    (h, w), (th, tw) = size, preprocessing.size
    if preprocessing.fit == "exact" and (h, w) != (th, tw):
        raise DatasetError(
            f"it is {w}x{h} pixels, the model takes {tw}x{th}. Set `preprocessing.fit` in models.yml to `stretch`, "
            "`letterbox` or `crop`, or remove the file."
        )
    if preprocessing.fit in ("stretch", "exact"):
        return Geometry(size, (th, tw), tw / w, th / h, 0.0, 0.0)
    scale = (min if preprocessing.fit == "letterbox" else max)(tw / w, th / h)
    inner_w, inner_h = max(1, round(w * scale)), max(1, round(h * scale))
    left, top = (tw - inner_w) // 2, (th - inner_h) // 2
    return Geometry(size, (th, tw), inner_w / w, inner_h / h, float(left), float(top))


def fit(picture: Picture, preprocessing: Preprocessing) -> tuple[Picture, Geometry]:
    """Return the picture in the input's size, still uint8, and where it lies.

    Raises:
        DatasetError: wrong number of channels, or wrong size with `fit: exact`.
    """
    if picture.ndim != 3 or picture.shape[2] != preprocessing.channels:
        raise DatasetError(f"a picture of shape {picture.shape} does not have {preprocessing.channels} channels")
    placed = geometry((picture.shape[0], picture.shape[1]), preprocessing)
    height, width = placed.target
    if placed.original == placed.target:
        return picture, placed
    inner = (round(placed.original[1] * placed.scale_x), round(placed.original[0] * placed.scale_y))
    planes = picture[:, :, 0] if preprocessing.channels == 1 else picture
    resized = np.asarray(Image.fromarray(planes).resize(inner, Image.Resampling.BILINEAR)).reshape(
        inner[1], inner[0], preprocessing.channels
    )
    canvas = np.full((height, width, preprocessing.channels), preprocessing.fill, np.uint8)
    left, top = int(placed.left), int(placed.top)
    source = resized[max(0, -top) : max(0, -top) + height, max(0, -left) : max(0, -left) + width]
    canvas[max(0, top) :, max(0, left) :][: source.shape[0], : source.shape[1]] = source
    return canvas, placed


def normalise(pictures: Picture, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return fitted pictures (..., h, w, c) as float32 inputs, (..., c, h, w) unless laid out `nhwc`."""
    values = (pictures.astype(np.float32) / np.float32(255) - np.asarray(preprocessing.mean, np.float32)) / np.asarray(
        preprocessing.std, np.float32
    )
    if preprocessing.layout == "nchw":
        values = np.moveaxis(values, -1, -3)
    return np.ascontiguousarray(values, np.float32)


def _clipped(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    limits = np.asarray([size[1], size[0]] * 2, np.float32)
    return np.clip(boxes, 0, limits).astype(np.float32)


def _sampled(
    planes: NDArray[np.uint8], size: tuple[int, int], step_x: float, step_y: float, x0: float, y0: float, fill: int
) -> NDArray[np.uint8]:
    """Take the nearest pixel for each of an image of `size`; pixel (x, y) is at ((x + 0.5 + x0) * step) of `planes`."""
    columns = np.floor((np.arange(size[1]) + 0.5 + x0) * step_x).astype(np.int64)
    rows = np.floor((np.arange(size[0]) + 0.5 + y0) * step_y).astype(np.int64)
    height, width = planes.shape[1:]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None]
    picked = planes[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)]
    return np.where(inside, picked, np.uint8(fill)).astype(np.uint8)
