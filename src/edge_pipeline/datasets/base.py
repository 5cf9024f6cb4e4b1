"""What a labelled dataset is, and how to open and read one."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.spec import DigitsSpec, ImageFolderSpec

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
