"""Images on disk, one subfolder a class, read when they are needed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PilImage

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.base import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


class ImageFolder:
    """`path/<class>/<image>`; classes and files in alphabetical order, hidden folders left out."""

    def __init__(self, path: Path, image_shape: tuple[int, int, int], *, resize: bool) -> None:
        if not path.is_dir():
            raise DatasetError(
                f"the dataset folder {path} does not exist. Correct `dataset.path` in models.yml "
                "(relative paths start at the project's folder)."
            )
        self.classes = tuple(sorted(one.name for one in path.iterdir() if one.is_dir() and one.name[0] != "."))
        self._files: list[Path] = []
        self.labels: Sequence[int] = []
        labels: list[int] = []
        for label, name in enumerate(self.classes):
            found = sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in SUFFIXES)
            self._files += found
            labels += [label] * len(found)
        if not self._files:
            raise DatasetError(f"no images in {path}: expected one subfolder per class with image files in it")
        self.labels = labels
        self._shape, self._resize = image_shape, resize

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> Image:
        """Image `index`, float32, shape (c, h, w), values 0 to 1.

        Raises:
            DatasetError: the file is unreadable, or has another size and `resize` is off.
        """
        path = self._files[index]
        channels, height, width = self._shape
        try:
            with PilImage.open(path) as file:
                picture = _eight_bit(file).convert("L" if channels == 1 else "RGB")
        except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
            raise DatasetError(f"cannot read the image {path}: {error}. Repair or remove the file.") from error
        if picture.size != (width, height):
            if not self._resize:
                raise DatasetError(
                    f"the image {path} is {picture.width}x{picture.height} pixels, the model takes "
                    f"{width}x{height}. Set `resize: true` under the dataset in models.yml, or remove the file."
                )
            picture = picture.resize((width, height), PilImage.Resampling.BILINEAR)
        pixels = np.asarray(picture, np.float32) / 255.0
        return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))

    def content_hash(self) -> str:
        """SHA-256 over the class name, size and bytes of every file, read in blocks.

        Raises:
            DatasetError: a file cannot be read.
        """
        digest = hashlib.sha256()
        for path, label in zip(self._files, self.labels, strict=True):
            try:
                digest.update(f"{self.classes[label]}/{path.name}\0{path.stat().st_size}\0".encode())
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
            except OSError as error:
                raise DatasetError(f"cannot read the image {path}: {error}. Repair or remove the file.") from error
        return digest.hexdigest()


def _eight_bit(picture: PilImage.Image) -> PilImage.Image:
    """Bring 16-bit grey values to 8 bits, which Pillow would clip at 255.

    Raises:
        ValueError: grey values of an unknown range.
    """
    if picture.mode.startswith("I;16"):
        return PilImage.fromarray((np.asarray(picture, np.uint32) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its grey values have 32 bits, 8 or 16 are expected")
    return picture
