"""A file of labels in COCO's format (cocodataset.org, "Data format"), checked and held as columns."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets import files
from edge_pipeline.datasets.json_stream import MalformedJsonError, pieces
from edge_pipeline.datasets.masks import Masks
from edge_pipeline.datasets.problems import Problems, some

TOLERANCE = 0.5
"""Pixels by which a box may reach beyond its image; it is clipped."""

_LARGEST = 1_000_000
_KEYS = {"images": "image", "annotations": "annotation", "categories": "category"}


@dataclass(frozen=True)
class CocoFile:
    """What one file says of `n` images and `k` objects.

    Attributes:
        categories: name of each category id, in the order of the ids.
        names: `file_name` of each image.
        sizes: int64 (n, 2), height and width.
        starts: int64 (n + 1,); the objects of image `i` are `order[starts[i]:starts[i + 1]]`.
        order: int64 (k,), objects image by image.
        boxes: float32 (k, 4), x1 y1 x2 y2, inside the image.
        classes: int32 (k,), index into `categories`.
        crowd: bool (k,).
        masks: one an object, or `None`.
    """

    categories: Mapping[int, str]
    names: list[str]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    order: NDArray[np.int64]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int32]
    crowd: NDArray[np.bool_]
    masks: Masks | None

    def objects(self, image: int) -> NDArray[np.int64]:
        """Return the indices of the objects of an image."""
        return self.order[self.starts[image] : self.starts[image + 1]]


def read_coco(place: str, *, masks: bool) -> CocoFile:
    """Read and check a file of labels.

    Args:
        place: its location (see `datasets.files`).
        masks: read the masks too, which every object must have.

    Raises:
        DatasetError: it cannot be read, or something in it is wrong; lists the first problems.
    """
    columns = _Columns(place, masks)
    try:
        with files.open_file(place) as file:
            for key, item in pieces(file):
                columns.add(key, item)
    except OSError as error:
        raise DatasetError(f"cannot read the labels {place}: {error}. Correct the path in models.yml.") from error
    except MalformedJsonError as error:
        raise DatasetError(
            f"the labels {place} are not valid JSON: {error}. Repair the file or download it again."
        ) from error
    return columns.checked()


class _Columns:
    """Takes in the entries of a file one by one."""

    def __init__(self, place: str, masks: bool) -> None:
        self._place = place
        self._problems = Problems(place, "Correct or remove these entries.")
        self._seen: set[str] = set()
        self._counts = dict.fromkeys(_KEYS, 0)
        self._categories: dict[int, str] = {}
        self._names: list[str] = []
        self._image_ids, self._sizes = array("q"), array("q")
        self._ids, self._images, self._labels = array("q"), array("q"), array("q")
        self._boxes, self._crowd = array("d"), array("b")
        self._masks = Masks() if masks else None
        self._take = {
            "images": self._add_image,
            "annotations": self._add_annotation,
            "categories": self._add_category,
        }

    def add(self, key: str, item: Any) -> None:
        """Take in an element of a list."""
        if key not in _KEYS:
            return
        self._seen.add(key)
        if item == []:
            return
        self._counts[key] += 1
        if not isinstance(item, dict):
            self._problems.add(f"entry {self._counts[key]} of `{key}` is not an object")
            return
        try:
            self._take[key](item)
        except KeyError as error:
            self._problems.add(f"{self._named(key, item)} has no `{error.args[0]}`")
        except ValueError as error:
            self._problems.add(f"{self._named(key, item)}: {error}")

    def _named(self, key: str, item: dict[str, Any]) -> str:
        return f"{_KEYS[key]} {item.get('id', '')}".rstrip() + f" (entry {self._counts[key]} of `{key}`)"

    def _add_category(self, item: dict[str, Any]) -> None:
        number, name = _whole(item, "id"), str(item["name"])
        if number in self._categories:
            raise ValueError(f"the id {number} was given before, to '{self._categories[number]}'")
        if name in self._categories.values():
            raise ValueError(f"another category has the name '{name}' too")
        self._categories[number] = name

    def _add_image(self, item: dict[str, Any]) -> None:
        number, height, width = _whole(item, "id"), _whole(item, "height"), _whole(item, "width")
        name = item["file_name"]
        if not isinstance(name, str) or not name:
            raise ValueError(f"`file_name` is {name!r}, a text is expected")
        if not (0 < height <= _LARGEST and 0 < width <= _LARGEST):
            raise ValueError(f"its size is {width}x{height} pixels")
        self._image_ids.append(number)
        self._sizes.extend((height, width))
        self._names.append(name)

    def _add_annotation(self, item: dict[str, Any]) -> None:
        number, image, label = _whole(item, "id"), _whole(item, "image_id"), _whole(item, "category_id")
        box = item["bbox"]
        try:
            x, y, width, height = map(float, box)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"`bbox` is {box}, four numbers are expected: x, y, width, height") from None
        if (width == 0 and height >= 0) or (height == 0 and width >= 0):
            return  # COCO's own training set has boxes of no area; they label nothing
        if self._masks is not None:
            self._masks.add(item.get("segmentation"))
        self._ids.append(number)
        self._images.append(image)
        self._labels.append(label)
        self._boxes.extend((x, y, width, height))
        self._crowd.append(1 if item.get("iscrowd") else 0)

    def checked(self) -> CocoFile:
        """Return what was taken in.

        Raises:
            DatasetError: something is missing or wrong.
        """
        for key in _KEYS:
            if not self._counts[key]:
                lacks = f"`{key}` is empty" if key in self._seen else f"it has no `{key}`"
                raise DatasetError(
                    f"the labels {self._place} cannot be used: {lacks}. COCO's format needs filled lists "
                    f"`images`, `annotations` and `categories`."
                )
        self._problems.check()
        image_ids, ids, labels = (np.asarray(one, np.int64) for one in (self._image_ids, self._ids, self._labels))
        categories = dict(sorted(self._categories.items()))
        image, known_image = _positions(np.asarray(self._images, np.int64), image_ids)
        label, known_label = _positions(labels, np.asarray(list(categories), np.int64))
        sizes = np.asarray(self._sizes, np.int64).reshape(-1, 2)
        self._problems.add_all(_repeated(image_ids), lambda i: f"image id {image_ids[i]} is given twice")
        self._problems.add_all(_repeated(ids), lambda i: f"annotation id {ids[i]} is given twice")
        self._problems.add_all(
            ~known_image, lambda i: f"annotation {ids[i]} is of image id {self._images[i]}, which is not in `images`"
        )
        self._problems.add_all(
            ~known_label,
            lambda i: f"annotation {ids[i]} has the category id {labels[i]}; those defined are {some(categories)}",
        )
        boxes = self._checked_boxes(ids, image, known_image, sizes)
        if self._masks is not None:
            self._check_masks(self._masks, ids, image, known_image, sizes)
        self._problems.check()
        order = np.argsort(image, kind="stable")
        starts = np.searchsorted(image[order], np.arange(len(self._names) + 1))
        crowd = np.asarray(self._crowd, np.bool_)
        return CocoFile(
            categories, self._names, sizes, starts, order, boxes, label.astype(np.int32), crowd, self._masks
        )

    def _checked_boxes(
        self, ids: NDArray[np.int64], image: NDArray[np.int64], known: NDArray[np.bool_], sizes: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the corners of the boxes, clipped; note those that are no boxes or reach beyond their image."""
        given = np.asarray(self._boxes, np.float64).reshape(-1, 4)

        def box(i: int) -> str:
            x, y, width, height = (f"{one:g}" for one in given[i])
            return f"x {x}, y {y}, width {width}, height {height}"

        def outside(i: int) -> str:
            height, width = sizes[image[i]]
            name = self._names[image[i]]
            return (
                f"annotation {ids[i]}: the box ({box(i)}) reaches beyond the image '{name}' of {width}x{height} pixels"
            )

        with np.errstate(invalid="ignore", over="ignore"):
            proper = np.isfinite(given).all(1) & (given[:, 2:] > 0).all(1)
            limits = sizes[image][:, ::-1]
            ends = given[:, :2] + given[:, 2:]
            inside = (given[:, :2] >= -TOLERANCE).all(1) & (ends <= limits + TOLERANCE).all(1)
            corners = np.concatenate([given[:, :2].clip(0, limits), ends.clip(0, limits)], 1).astype(np.float32)
        vanished = inside & (corners[:, 2:] <= corners[:, :2]).any(1)
        no_area, beyond = np.asarray(~proper | (known & vanished)), np.asarray(proper & known & ~inside)
        self._problems.add_all(no_area, lambda i: f"annotation {ids[i]}: its box has no area ({box(i)})")
        self._problems.add_all(beyond, outside)
        return corners

    def _check_masks(
        self,
        masks: Masks,
        ids: NDArray[np.int64],
        image: NDArray[np.int64],
        known: NDArray[np.bool_],
        sizes: NDArray[np.int64],
    ) -> None:
        """Note masks that do not fit their image."""
        wanted = sizes[image]
        extents, polygons, run_sizes = masks.extents(), masks.has_polygons(), masks.run_sizes()
        ends, far = wanted[:, ::-1], np.maximum(wanted[:, ::-1], 1)
        with np.errstate(invalid="ignore"):
            near = (extents[:, :2] >= -far).all(1) & (extents[:, 2:] <= ends + far).all(1)

        def size(i: int) -> str:
            return f"'{self._names[image[i]]}' of {wanted[i, 1]}x{wanted[i, 0]} pixels"

        self._problems.add_all(
            known & polygons & ~near,
            lambda i: f"annotation {ids[i]}: a polygon of it reaches far beyond the image {size(i)}",
        )
        other = known & ~polygons & (run_sizes != wanted).any(1)
        self._problems.add_all(
            other,
            lambda i: (
                f"annotation {ids[i]}: its run lengths are of {run_sizes[i, 1]}x{run_sizes[i, 0]} pixels, "
                f"those of the image {size(i)}"
            ),
        )
        broken = ~polygons & (masks.run_totals() != run_sizes.prod(1))
        self._problems.add_all(broken, lambda i: f"annotation {ids[i]}: its compressed run lengths are malformed")


def _whole(item: dict[str, Any], key: str) -> int:
    value = item[key]
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise ValueError(f"`{key}` is {value!r}, a whole number is expected")


def _positions(wanted: NDArray[np.int64], given: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each of `wanted` is in `given` (0 if nowhere), and whether it is there."""
    order = np.argsort(given, kind="stable")
    found = order[np.searchsorted(given, wanted, sorter=order).clip(0, len(given) - 1)]
    there = given[found] == wanted
    return np.where(there, found, 0), there


def _repeated(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell of each id whether it was given before."""
    again = np.ones(len(ids), np.bool_)
    again[np.unique(ids, return_index=True)[1]] = False
    return again
