"""Scikit-learn's handwritten digits (optdigits test set, UCI repository)."""

from collections.abc import Sequence

import numpy as np

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import sha256
from edge_pipeline.datasets.base import Image

SHAPE = (1, 8, 8)


class Digits:
    """1,797 images of 8x8 pixels with grey values 0 to 16, here scaled to 0 to 1."""

    classes = tuple("0123456789")

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        if image_shape != SHAPE:
            raise DatasetError(f"the digits are images of shape {SHAPE}, the model takes {image_shape}")
        from sklearn.datasets import load_digits

        raw = load_digits()
        self._images = (raw.images[:, None] / 16.0).astype(np.float32)
        self.labels: Sequence[int] = [int(label) for label in raw.target]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image:
        """Image `index`, float32, shape (1, 8, 8), values 0 to 1."""
        image: Image = self._images[index]
        return image

    def content_hash(self) -> str:
        """SHA-256 over every image and label."""
        return sha256(self._images.tobytes() + np.asarray(self.labels, np.int64).tobytes())
