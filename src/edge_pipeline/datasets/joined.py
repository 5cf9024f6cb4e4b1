"""A dataset and the batches of new samples that retraining took in, as one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets.base import Samples

BATCH = "batch.json"
"""Describes a batch; a folder without it is none, so that half a batch is never read."""


class Joined:
    """Samples of `own`, then those of every batch, which are for training only: the test part never changes.

    Attributes:
        classes: those of `own`.
        labels: class of each sample, or `None`.
        parts: those of `own`.
        added: indices of the samples of the batches.
    """

    def __init__(self, own: Samples, batches: Sequence[Samples]) -> None:
        """Put them together.

        Raises:
            DatasetError: a batch has a class that `own` has not.
        """
        for batch in batches:
            unknown = sorted(set(batch.classes) - set(own.classes))
            if unknown:
                raise DatasetError(
                    f"the new samples have the class '{unknown[0]}', which the dataset no longer has. Delete their "
                    "batch below `incoming`, or bring the class back."
                )
        self._members = (own, *batches)
        self._starts = np.cumsum([0, *(len(one) for one in self._members)])
        self._classes_of = [[own.classes.index(name) for name in one.classes] for one in self._members]
        self.classes: tuple[str, ...] = own.classes
        self.parts: Mapping[str, Sequence[int]] | None = own.parts
        self.added = range(len(own), len(self))
        self.labels: Sequence[int] | None = None
        if own.labels is not None:
            self.labels = [
                known[label]
                for member, known in zip(self._members, self._classes_of, strict=True)
                for label in member.labels or ()
            ]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, index: int) -> str:
        """Where picture `index` lies, for messages."""
        member, local = self._locate(index)
        named: Any = getattr(member, "name", None)
        return str(named(local)) if named else f"number {local} of the dataset"

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8 (h, w, channels).

        Raises:
            DatasetError: it cannot be read.
        """
        member, local = self._locate(index)
        return member.picture(local)

    def truth(self, index: int) -> Any:
        """Label of picture `index`; see `Samples.truth`."""
        if self.labels is not None:
            return self.labels[index]
        member, local = self._locate(index)
        return member.truth(local)

    def content_hash(self) -> str:
        """SHA-256 over the dataset and every batch.

        Raises:
            DatasetError: an image cannot be read.
        """
        return sha256(json_bytes([one.content_hash() for one in self._members]))

    def _locate(self, index: int) -> tuple[Samples, int]:
        member = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._members[member], index - int(self._starts[member])


def batches(incoming: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return folder and description of every batch in `incoming`, in the order of their names.

    Raises:
        DatasetError: a description is damaged.
    """
    found = []
    for description in sorted(incoming.glob(f"*/{BATCH}")):
        try:
            content = json.loads(description.read_bytes())
            if not isinstance(content["samples"], dict):
                raise TypeError("`samples` is no object")
            found.append((description.parent, content))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{description} is damaged ({error}). Delete its folder: its samples are taken in again from their "
                "source."
            ) from error
    return found


def with_incoming(own: Samples, incoming: Path | None, channels: int, masks: bool) -> Samples:
    """Return `own` with the batches of the folder `incoming`; itself if there are none.

    Raises:
        DatasetError: a batch is missing, damaged, or does not fit.
    """
    found = batches(incoming) if incoming else []
    opened = [_open(folder, content, channels, masks) for folder, content in found]
    return Joined(own, opened) if opened else own


def _open(folder: Path, content: Mapping[str, Any], channels: int, masks: bool) -> Samples:
    from edge_pipeline.datasets.coco import CocoSamples
    from edge_pipeline.datasets.image_folder import ImageFolder
    from edge_pipeline.datasets.yolo_text import YoloSamples

    kind = content.get("format")
    samples: Samples
    if kind == "image_folder":
        samples = ImageFolder(folder, channels)
    elif kind == "yolo":
        samples = YoloSamples(folder / "data.yaml", channels, masks=masks)
    elif kind == "coco":
        samples = CocoSamples({"train": (folder / "images", folder / "annotations.json")}, channels, masks=masks)
    else:
        raise DatasetError(f"{folder / BATCH} names the format '{kind}', which is not known. Delete its folder.")
    if len(samples) != len(content["samples"]):
        raise DatasetError(
            f"the batch {folder} has {len(samples)} images, it was taken in with {len(content['samples'])}. Delete the "
            "folder; the samples are taken in again from their source."
        )
    return samples
