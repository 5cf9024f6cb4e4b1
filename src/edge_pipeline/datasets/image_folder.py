"""Images on disk or in a store, one subfolder a class, read when they are needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_pipeline.core.errors import DatasetError, suggest
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import files
from edge_pipeline.datasets.pictures import SUFFIXES, load_picture

PARTS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""Names of the subfolders that divide a dataset."""


class ImageFolder:
    """`path/<class>/<image>`, or `path/train/<class>/<image>` with `val` (`valid`, `validation`) or `test` beside it.

    Classes and files are in alphabetical order; hidden ones, and an undivided folder of test images, are left out.

    Attributes:
        classes: names of the subfolders, of `train` if the folder is divided.
        labels: class index of each sample.
        parts: which samples are in which subfolder, or `None`.
    """

    def __init__(self, path: str | Path, channels: int) -> None:
        """Find the files.

        Raises:
            DatasetError: no such folder, no images, or a part has classes of its own.
        """
        self._root, self._channels = files.location(path), channels
        if not files.is_folder(self._root):
            raise DatasetError(
                f"the dataset folder {self._root} does not exist. Correct `dataset.path` in models.yml "
                "(relative paths start at the project's folder)."
            )
        divided = self._divisions()
        self.classes = tuple(files.folders(files.join(self._root, divided["train"]) if divided else self._root))
        self._names: list[str] = []
        self._labels: list[int] = []
        self.parts: Mapping[str, Sequence[int]] | None = None
        if divided:
            self.parts = {part: self._add(folder) for part, folder in divided.items()}
        else:
            self._add("")
        if not self._names:
            raise DatasetError(f"no images in {self._root}: expected one subfolder per class with image files in it")

    @property
    def labels(self) -> Sequence[int]:
        """Class index of each sample."""
        return self._labels

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        return files.join(self._root, self._names[index])

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: the file cannot be read.
        """
        return load_picture(self.name(index), self._channels)

    def truth(self, index: int) -> int:
        """Class index of sample `index`."""
        return self._labels[index]

    def content_hash(self) -> str:
        """SHA-256 over the folder, name, size and bytes of every file.

        Raises:
            DatasetError: a file cannot be read.
        """
        return files.content_hash([(name, files.join(self._root, name)) for name in self._names], [])

    def _divisions(self) -> dict[str, str] | None:
        """Return the subfolder of each part, if the folder is divided."""
        present = files.folders(self._root)
        found = {part: [name for name in names if name in present] for part, names in PARTS.items()}
        chosen = {part: names[0] for part, names in found.items() if names}
        inner = {part: files.folders(files.join(self._root, name)) for part, name in chosen.items()}
        chosen = {part: name for part, name in chosen.items() if inner[part]}
        if "train" not in chosen or len(chosen) == 1:
            return None
        if len(found["validation"]) > 1:
            raise DatasetError(
                f"{self._root} has the subfolders {' and '.join(found['validation'])}: which of them is the "
                "validation part? Rename or remove one."
            )
        return chosen

    def _add(self, folder: str) -> range:
        """Take in the class folders below `folder`; return the indices of their files."""
        start, place = len(self._names), files.join(self._root, folder)
        for name in files.folders(place):
            if name not in self.classes:
                raise DatasetError(
                    f"{place} has the class folder '{name}', which the training part does not have: "
                    f"{suggest(name, self.classes)} Rename or remove it."
                )
            label, prefix = self.classes.index(name), "/".join(part for part in (folder, name) if part)
            found = [f"{prefix}/{file}" for file in files.tree(files.join(place, name), SUFFIXES)]
            self._names += found
            self._labels += [label] * len(found)
        if folder and len(self._names) == start:
            raise DatasetError(f"no images in {place}: expected one subfolder per class with image files in it")
        return range(start, len(self._names))
