"""Cityscapes: street scenes with a label map each, in the dataset's own layout of folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge_pipeline.core.annotations import IGNORED_LABEL
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import files
from edge_pipeline.datasets.pictures import load_picture, picture_size
from edge_pipeline.datasets.problems import some

TRAINED = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Label id and name of the classes that are trained, in the order of their train ids (cityscapesScripts, labels.py)."""

_LABEL_IDS = range(34)
_UNKNOWN = 254
_PARTS = {"train": "train", "validation": "val", "test": "test"}
_IMAGE, _LABELS, _TRAIN_LABELS = "_leftImg8bit.png", "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
_LOOKED_AT = 8


class CityscapesSamples:
    """`leftImg8bit/<part>/<city>/*_leftImg8bit.png` with `gtFine/<part>/<city>/*_gtFine_labelIds.png`.

    Where a file of label ids is missing, `*_gtFine_labelTrainIds.png` takes its place. A test part whose labels are
    all ignored, as those of the public test set are, is left out.

    Attributes:
        classes: the 19 classes that are trained.
        labels: `None`, an image holds several classes.
        parts: which samples belong to which part, or `None` if there is only one.
    """

    classes = tuple(TRAINED.values())
    labels: Sequence[int] | None = None

    def __init__(self, root: str | Path, channels: int) -> None:
        """Find the files.

        Raises:
            DatasetError: no images, or an image without labels.
        """
        self._root, self._channels = files.location(root), channels
        self._images: list[str] = []
        self._label_files: list[str] = []
        ranges: dict[str, Sequence[int]] = {}
        for part, folder in _PARTS.items():
            images = self._tree(f"leftImg8bit/{folder}", _IMAGE)
            labels = self._labels_of(folder, images, optional=part == "test")
            if labels and (part != "test" or self._any_class(labels)):
                ranges[part] = range(len(self._images), len(self._images) + len(images))
                self._images += images
                self._label_files += labels
        if not self._images:
            raise DatasetError(
                f"no images with labels in {self._root}: expected are "
                f"leftImg8bit/{{train,val,test}}/<city>/*{_IMAGE} and gtFine/{{train,val,test}}/<city>/*{_LABELS}. "
                "Correct `dataset.path` in models.yml."
            )
        self.parts: Mapping[str, Sequence[int]] | None = ranges if len(ranges) > 1 else None

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        return files.join(self._root, self._images[index])

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: the file cannot be read.
        """
        return load_picture(self.name(index), self._channels)

    def truth(self, index: int) -> NDArray[np.uint8]:
        """Label map of picture `index`, uint8 (h, w), index into `classes`, 255 ignored.

        Raises:
            DatasetError: the file cannot be read, has another size than the picture, or holds an unknown id.
        """
        found = _read_labels(self._root, self._label_files[index])
        size = picture_size(files.join(self._root, self._images[index]))
        if found.shape != size:
            place = files.join(self._root, self._label_files[index])
            raise DatasetError(
                f"the label map {place} is {found.shape[1]}x{found.shape[0]} pixels, its image {size[1]}x{size[0]}. "
                "Restore both files from the dataset."
            )
        return found

    def content_hash(self) -> str:
        """SHA-256 over every image and label map.

        Raises:
            DatasetError: a file cannot be read.
        """
        pairs = zip(self._images, self._label_files, strict=True)
        every = [(name, files.join(self._root, name)) for pair in pairs for name in pair]
        return files.content_hash(every, [json_bytes(self.classes)])

    def _tree(self, folder: str, ending: str) -> list[str]:
        place = files.join(self._root, folder)
        if not files.is_folder(place):
            return []
        return [f"{folder}/{name}" for name in files.tree(place, [".png"]) if name.endswith(ending)]

    def _labels_of(self, folder: str, images: list[str], *, optional: bool) -> list[str]:
        """Return the label file of each image; none at all if that is allowed."""
        present = {
            ending: set(self._tree(f"gtFine/{folder}", ending)) if images else set()
            for ending in (_LABELS, _TRAIN_LABELS)
        }
        if optional and not any(present.values()):
            return []
        found = []
        for image in images:
            stem = image.replace("leftImg8bit/", "gtFine/", 1).removesuffix(_IMAGE)
            choices = [stem + ending for ending in (_LABELS, _TRAIN_LABELS) if stem + ending in present[ending]]
            if not choices:
                raise DatasetError(
                    f"the image {files.join(self._root, image)} has no label map: "
                    f"{files.join(self._root, stem + _LABELS)} is missing. Add it, or remove the image."
                )
            found.append(choices[0])
        return found

    def _any_class(self, labels: list[str]) -> bool:
        """Tell whether one of a few files, spread over the part, has a pixel that counts."""
        few = labels[:: max(1, len(labels) // _LOOKED_AT)]
        return any((_read_labels(self._root, name) != IGNORED_LABEL).any() for name in few)


def _read_labels(root: str, name: str) -> NDArray[np.uint8]:
    """Return a file of label ids or train ids as class indices."""
    place, trained = files.join(root, name), name.endswith(_TRAIN_LABELS)
    try:
        with files.open_file(place) as file, Image.open(file) as opened:
            if opened.mode not in ("L", "P"):
                raise ValueError(f"it has the mode {opened.mode}, one value of 8 bits a pixel is expected")
            given = np.asarray(opened)
    except DatasetError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DatasetError(f"cannot read the label map {place}: {error}. Repair or restore the file.") from error
    classes: NDArray[np.uint8] = _table(trained)[given]
    if (classes == _UNKNOWN).any():
        ids = sorted(set(given[classes == _UNKNOWN].tolist()))
        known = f"0 to {len(TRAINED) - 1} and {IGNORED_LABEL}" if trained else f"0 to {_LABEL_IDS[-1]}"
        raise DatasetError(f"the label map {place} holds the unknown id {some(ids)}; {known} are defined")
    return classes


def _table(trained: bool) -> NDArray[np.uint8]:
    """Return the class of each of 256 values: of train ids, or of label ids."""
    table = np.full(256, _UNKNOWN, np.uint8)
    if trained:
        table[: len(TRAINED)] = range(len(TRAINED))
        table[IGNORED_LABEL] = IGNORED_LABEL
    else:
        table[list(_LABEL_IDS)] = IGNORED_LABEL
        table[list(TRAINED)] = range(len(TRAINED))
    return table
