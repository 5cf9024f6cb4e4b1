"""What a labelled dataset is, and the registry of those that models.yml can name."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_pipeline.core.errors import DatasetError

Image = NDArray[np.float32]


class Samples(Protocol):
    """Labelled images, read one at a time."""

    classes: tuple[str, ...]
    labels: Sequence[int]

    def __len__(self) -> int:
        """Number of samples."""

    def image(self, index: int) -> Image:
        """Image `index`, float32, shape (channels, height, width), values 0 to 1."""

    def content_hash(self) -> str:
        """SHA-256 over every image and label."""


class DigitsSpec(BaseModel):
    """Scikit-learn's handwritten digits: 1,797 real 8x8 grey images, shipped with the library."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["digits"] = "digits"


class ImageFolderSpec(BaseModel):
    """A folder with one subfolder of images per class.

    `channels` is 1 (grey) or 3 (RGB). Images of another size than the model's input are refused unless
    `resize` is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["image_folder"]
    path: Path
    resize: bool = False


DatasetSpec = Annotated[DigitsSpec | ImageFolderSpec, Field(discriminator="type")]


def open_dataset(spec: DigitsSpec | ImageFolderSpec, image_shape: tuple[int, int, int]) -> Samples:
    """Open the dataset of a model whose input image is `image_shape` (channels, height, width)."""
    if isinstance(spec, DigitsSpec):
        from edge_pipeline.datasets.digits import Digits

        return Digits(image_shape)
    from edge_pipeline.datasets.image_folder import ImageFolder

    return ImageFolder(spec.path, image_shape, resize=spec.resize)


def batches(samples: Samples, indices: Sequence[int], size: int) -> Iterator[tuple[Image, NDArray[np.int64]]]:
    """Yield (images (n, c, h, w), labels (n,)) of at most `size` samples, in the order of `indices`."""
    for start in range(0, len(indices), size):
        chosen = indices[start : start + size]
        yield (
            np.stack([samples.image(i) for i in chosen]),
            np.asarray([samples.labels[i] for i in chosen], np.int64),
        )


def stack(samples: Samples, indices: Sequence[int]) -> Image:
    """Return the images of `indices` as one array (n, c, h, w).

    Raises:
        DatasetError: no index was given.
    """
    if not indices:
        raise DatasetError("no images were selected: the set is empty")
    return np.stack([samples.image(i) for i in indices])
