"""What every test image came to, kept so that two models can be compared image by image without running either."""

import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import StorageError
from edge_pipeline.tasks.base import Prediction, Truth

LARGEST = 2**28
"""Bytes that the outcomes of a test part may take when they are read."""

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Outcomes(ABC):
    """The outcomes of images, of which metrics of any resample of them can be computed.

    Attributes:
        classes: names of the dataset's classes.
        images: int64 (n,), indices into the dataset; each occurs once.
        columns: arrays of the task's own.
    """

    classes: tuple[str, ...]
    images: NDArray[np.int64]
    columns: Columns

    @abstractmethod
    def metrics(self, weights: NDArray[np.int64]) -> dict[str, float]:
        """Return the task's metrics by name where image i counts `weights[i]` times; what nothing tells is absent."""

    @abstractmethod
    def take(self, places: NDArray[np.int64]) -> "Outcomes":
        """Return those of the images at `places`, in that order."""


class Recorder(ABC):
    """Takes predictions one by one."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.images: list[int] = []

    @abstractmethod
    def add(self, index: int, prediction: Prediction, truth: Truth) -> None:
        """Keep what became of the image `index` of the dataset."""

    @abstractmethod
    def columns(self) -> Columns:
        """Return the arrays of all images."""


def recorder(task: str, classes: Sequence[str]) -> Recorder | None:
    """Return what records the outcomes of `task`; `None` for a custom one, whose outputs have no known meaning."""
    from edge_pipeline.tasks.outcomes_of_images import Labels, Pixels
    from edge_pipeline.tasks.outcomes_of_objects import Objects

    match task:
        case "classification":
            return Labels(classes)
        case "semantic_segmentation":
            return Pixels(classes)
        case "detection" | "instance_segmentation":
            return Objects(classes, masks=task == "instance_segmentation")
    return None


def pack(kept: Recorder) -> bytes:
    """Return the outcomes as a compressed .npz; equal outcomes give equal bytes."""
    buffer = io.BytesIO()
    named: Any = {"images": np.asarray(kept.images, np.int64), **kept.columns()}
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def unpack(content: bytes, task: str, classes: Sequence[str]) -> Outcomes:
    """Return what `pack` wrote.

    Raises:
        StorageError: it is no such file, or too large.
    """
    from edge_pipeline.tasks.outcomes_of_images import LabelOutcomes, PixelOutcomes
    from edge_pipeline.tasks.outcomes_of_objects import ObjectOutcomes

    kinds: dict[str, Any] = {
        "classification": LabelOutcomes,
        "semantic_segmentation": PixelOutcomes,
        "detection": ObjectOutcomes,
        "instance_segmentation": ObjectOutcomes,
    }
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(one.file_size for one in archive.infolist())
        if size > LARGEST:
            raise StorageError(f"the outcomes of the test images take {size} bytes, more than {LARGEST}")
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            columns = {name: found[name] for name in found.files}
        images = columns.pop("images").astype(np.int64)
        kind = kinds[task]
        if kind is ObjectOutcomes:
            columns["masks"] = np.asarray(task == "instance_segmentation")
        made: Outcomes = kind(tuple(classes), images, columns)
        made.metrics(np.ones(len(images), np.int64))
    except (ValueError, KeyError, IndexError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise StorageError(f"the outcomes of the test images cannot be read: {error}") from error
    return made
