"""Datasets in COCO's format: folders of images, and a JSON file of boxes and masks for each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import files
from edge_pipeline.datasets.coco_file import CocoFile, read_coco
from edge_pipeline.datasets.pictures import load_picture
from edge_pipeline.datasets.problems import some


class CocoSamples:
    """One or several parts, one after the other; the images of a part are in the order of its file.

    Attributes:
        classes: names of the categories, in the order of their ids.
        labels: `None`, an image may hold objects of several classes.
        parts: which samples belong to which part, or `None` if there is only one.
    """

    labels: Sequence[int] | None = None

    def __init__(self, parts: Mapping[str, tuple[str | Path, str | Path]], channels: int, masks: bool) -> None:
        """Read the labels of every part.

        Args:
            parts: folder of images and file of labels for each of `train`, `validation`, `test`.
            channels: 1 for grey pictures, 3 for RGB.
            masks: read masks too, which every object must have.

        Raises:
            DatasetError: a file of labels is wrong, or the parts have different categories.
        """
        self._channels = channels
        self._folders = [files.location(images) for images, _ in parts.values()]
        places = [files.location(labels) for _, labels in parts.values()]
        self._files = [read_coco(place, masks=masks) for place in places]
        for place, other in zip(places[1:], self._files[1:], strict=True):
            _check_equal(self._files[0].categories, other.categories, places[0], place)
        self.classes = tuple(self._files[0].categories.values())
        self._starts = np.cumsum([0, *(len(file.names) for file in self._files)])
        ranges = {
            part: range(int(self._starts[i]), int(self._starts[i + 1])) for i, part in enumerate(parts)
        }  # cheap to pickle
        self.parts: Mapping[str, Sequence[int]] | None = ranges if len(ranges) > 1 else None

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        part, image = self._locate(index)
        return files.join(self._folders[part], self._files[part].names[image])

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: the file is not there, cannot be read, or has another size than its labels say.
        """
        part, image = self._locate(index)
        place = self.name(index)
        picture = load_picture(place, self._channels)
        (height, width), found = self._files[part].sizes[image], picture.shape[:2]
        if found != (height, width):
            turned = " (it carries an EXIF orientation, or the labels were made without it)"
            raise DatasetError(
                f"the image {place} is {found[1]}x{found[0]} pixels, its labels are for {width}x{height}"
                f"{turned if found == (width, height) else ''}. Restore the image the labels were made on."
            )
        return picture

    def truth(self, index: int) -> Instances:
        """Objects in picture `index`.

        Raises:
            DatasetError: a mask cannot be decoded.
        """
        part, image = self._locate(index)
        file = self._files[part]
        chosen = file.objects(image)
        size = (int(file.sizes[image, 0]), int(file.sizes[image, 1]))
        masks = None if file.masks is None else [file.masks.rle(int(one), size) for one in chosen]
        return Instances.of(size, file.boxes[chosen], file.classes[chosen], None, masks, file.crowd[chosen])

    def content_hash(self) -> str:
        """SHA-256 over every image and label.

        Raises:
            DatasetError: an image cannot be read.
        """
        images = [
            (f"{part}/{name}", files.join(folder, name))
            for part, (folder, file) in enumerate(zip(self._folders, self._files, strict=True))
            for name in file.names
        ]
        return files.content_hash(images, [one for file in self._files for one in _content(file)])

    def _locate(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return part, index - int(self._starts[part])


def _content(file: CocoFile) -> list[bytes]:
    columns = (file.sizes, file.starts, file.order, file.boxes, file.classes, file.crowd)
    masks = [] if file.masks is None else file.masks.content()
    return [json_bytes(list(file.categories.items())), *(column.tobytes() for column in columns), *masks]


def _check_equal(first: Mapping[int, str], other: Mapping[int, str], first_place: str, other_place: str) -> None:
    """Raise a `DatasetError` if two parts do not have the same categories."""
    if first == other:
        return
    differing = some(f"{number} ({name})" for number, name in sorted(set(first.items()) ^ set(other.items())))
    raise DatasetError(
        f"the categories of {first_place} and {other_place} differ in {differing}. "
        "All parts of a dataset need the same ids with the same names."
    )
