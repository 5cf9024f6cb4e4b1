"""Scikit-learn's handwritten digits (optdigits test set, UCI repository)."""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import sha256
from edge_pipeline.core.preprocessing import Picture


class Digits:
    """1,797 pictures of 8x8 pixels with grey values 0 to 16, here scaled to 0 to 255."""

    classes = tuple("0123456789")
    parts: Mapping[str, Sequence[int]] | None = None

    def __init__(self, channels: int) -> None:
        if channels != 1:
            raise DatasetError(
                f"the digits are grey, 1 channel; the model takes {channels}. Set `image_shape: [1, ...]`"
            )
        from sklearn.datasets import load_digits

        raw = load_digits()
        self._pictures: Picture = np.rint(raw.images[..., None] * 255 / 16).astype(np.uint8)
        self.labels: Sequence[int] | None = [int(label) for label in raw.target]

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8, shape (8, 8, 1)."""
        picture: Picture = self._pictures[index]
        return picture

    def truth(self, index: int) -> int:
        """The digit."""
        assert self.labels is not None
        return self.labels[index]

    def content_hash(self) -> str:
        """SHA-256 over every picture and label."""
        return sha256(self._pictures.tobytes() + np.asarray(self.labels, np.int64).tobytes())
