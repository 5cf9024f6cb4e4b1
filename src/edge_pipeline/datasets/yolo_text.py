"""Datasets in Ultralytics' layout: `images/` and `labels/` side by side, one text file of objects an image."""

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import files
from edge_pipeline.datasets.masks import Masks
from edge_pipeline.datasets.pictures import load_picture, picture_size
from edge_pipeline.datasets.problems import Problems
from edge_pipeline.datasets.yolo_config import read_config

TOLERANCE = 1e-3
"""Share of the image by which an object may reach beyond it; it is clipped."""


class YoloSamples:
    """The images of all parts, one part after the other, each in alphabetical order.

    Attributes:
        classes: the `names` of data.yaml.
        labels: `None`, an image may hold objects of several classes.
        parts: which samples belong to which part, or `None` if there is only one.
    """

    labels: Sequence[int] | None = None

    def __init__(self, data_yaml: str | Path, channels: int, masks: bool) -> None:
        """Read and check every label.

        Args:
            data_yaml: names folders of images in `train`, `val`, `test` (below `path`), and the classes in `names`.
            channels: 1 for grey pictures, 3 for RGB.
            masks: read polygons as masks; every object must be one.

        Raises:
            DatasetError: something is missing or wrong; lists the first problems.
        """
        self._channels = channels
        self.classes, self._root, divided = read_config(files.location(data_yaml))
        self._images: list[str] = []
        ranges: dict[str, Sequence[int]] = {}
        for part, images in divided.items():
            ranges[part] = range(len(self._images), len(self._images) + len(images))
            self._images += images
        self.parts: Mapping[str, Sequence[int]] | None = ranges if len(ranges) > 1 else None
        self._ends, self._classes, self._boxes = array("q"), array("i"), array("d")
        self._masks = Masks() if masks else None
        self._read_labels()

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        return self._images[index]

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: the file is not there or cannot be read.
        """
        return load_picture(self.name(index), self._channels)

    def truth(self, index: int) -> Instances:
        """Objects in picture `index`, whose size is read from the file's header.

        Raises:
            DatasetError: the file of the picture is not there or cannot be read.
        """
        height, width = picture_size(self._images[index])
        first, last = (self._ends[index - 1] if index else 0), self._ends[index]
        boxes = np.asarray(self._boxes[4 * first : 4 * last]).reshape(-1, 4) * [width, height, width, height]
        masks = None
        if self._masks is not None:
            masks = [self._masks.rle(one, (height, width), (width, height)) for one in range(first, last)]
        return Instances.of((height, width), boxes, self._classes[first:last], None, masks)

    def content_hash(self) -> str:
        """SHA-256 over every image and label.

        Raises:
            DatasetError: an image cannot be read.
        """
        images = [(files.relative(place, self._root), place) for place in self._images]
        masks = [] if self._masks is None else self._masks.content()
        columns = (self._ends, self._classes, self._boxes)
        return files.content_hash(images, [json_bytes(self.classes), *(column.tobytes() for column in columns), *masks])

    def _read_labels(self) -> None:
        places = [label_place(image) for image in self._images]
        problems = Problems(f"the labels of {self._root}", "Correct or remove these lines.")
        found = 0
        for place, content in zip(places, files.each(_content, places), strict=True):
            if content is not None:
                found += 1
                self._read_file(place, content, problems)
            self._ends.append(len(self._classes))
        if not found:
            raise DatasetError(
                f"none of the {len(self._images)} images has a label file; that of {self._images[0]} should be "
                f"{places[0]}. Put the labels into a folder `labels` beside `images`, with the same names."
            )
        problems.check()

    def _read_file(self, place: str, content: bytes, problems: Problems) -> None:
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            if not line.strip():
                continue
            try:
                self._read_line(line)
            except ValueError as error:
                problems.add(f"{place}, line {number}: {error}")

    def _read_line(self, line: str) -> None:
        label, corners, polygon = parse_line(line, len(self.classes), masks=self._masks is not None)
        self._classes.append(label)
        self._boxes.extend(corners)
        if self._masks is not None:
            self._masks.add([polygon])


def parse_line(line: str, classes: int, *, masks: bool) -> tuple[int, tuple[float, float, float, float], list[float]]:
    """Return class, box (x1, y1, x2, y2) and polygon (x, y, x, y, ...) of one object, in shares of the image.

    Raises:
        ValueError: says what is wrong with the line.
    """
    try:
        label, *values = map(float, line.split())
    except ValueError:
        raise ValueError(f"'{line[:60]}' holds something that is no number") from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(
            f"numbers: {len(values) + 1}; expected are `class cx cy w h`, or `class x1 y1 x2 y2 ...` of a polygon"
        )
    if not (label.is_integer() and 0 <= label < classes):
        raise ValueError(f"class {label:g}; the {classes} classes in data.yaml are counted from 0")
    if not all(math.isfinite(one) and -TOLERANCE <= one <= 1 + TOLERANCE for one in values):
        wrong = next(one for one in values if not -TOLERANCE <= one <= 1 + TOLERANCE)
        raise ValueError(f"the coordinate {wrong:g}; shares of the image's width and height, 0 to 1, are expected")
    if masks and len(values) == 4:
        raise ValueError("a box; expected is a polygon, `class x1 y1 x2 y2 ...`, because masks are to be learnt")
    polygon = [min(max(one, 0.0), 1.0) for one in values]
    corners = _corners(values) if len(values) == 4 else _around(polygon)
    if corners[0] >= corners[2] or corners[1] >= corners[3]:
        raise ValueError("the object has no area")
    return int(label), corners, polygon


def label_place(image: str) -> str:
    """Return where the labels of an image are: the last folder `images` of its path becomes `labels`."""

    def change(path: str) -> str:
        parts = PurePosixPath(path).with_suffix(".txt").parts
        at = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
        return str(PurePosixPath(*parts if at is None else (*parts[:at], "labels", *parts[at + 1 :])))

    return files.with_path(image, change)


def _corners(box: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = box
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if min(corners) < -TOLERANCE or max(corners) > 1 + TOLERANCE:
        raise ValueError(
            f"the box x {corners[0]:g} to {corners[2]:g}, y {corners[1]:g} to {corners[3]:g} leaves 0 to 1"
        )
    return tuple(min(max(one, 0.0), 1.0) for one in corners)  # type: ignore[return-value]


def _around(polygon: list[float]) -> tuple[float, float, float, float]:
    return min(polygon[::2]), min(polygon[1::2]), max(polygon[::2]), max(polygon[1::2])


def _content(place: str) -> bytes | None:
    """Return the content of a file, `None` if there is none."""
    try:
        with files.open_file(place) as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"cannot read {place}: {error}. Repair or remove the file.") from error
