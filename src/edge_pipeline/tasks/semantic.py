"""Semantic segmentation: a class for every pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import IGNORED_LABEL
from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.base import Prediction, Truth


class SemanticSegmentation:
    """Intersection over union of every class, over all pixels of all pictures together.

    Pixels without a label count for nothing. Labelled pixels without a prediction, which the input did not show, are
    missed.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._samples = 0
        self._counts = np.zeros((len(classes), len(classes) + 1), np.int64)

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Count one picture: label maps (h, w) of uint8.

        Raises:
            ModelError: the sizes differ, or the prediction names an unknown class.
            DatasetError: the label map names an unknown class.
        """
        found, expected = np.asarray(prediction), np.asarray(truth)
        if found.shape != expected.shape:
            raise ModelError(f"the prediction has shape {found.shape}, but the label map {expected.shape}")
        labelled = expected != IGNORED_LABEL
        found, expected = found[labelled].astype(np.int64), expected[labelled].astype(np.int64)
        classes = len(self._classes)
        for values, who, error in ((expected, "a label map", DatasetError), (found, "a prediction", ModelError)):
            if wrong := set(np.flatnonzero(np.bincount(values)).tolist()) - {*range(classes), IGNORED_LABEL}:
                raise error(
                    f"{who} holds the class {min(wrong)}, but there are {classes} classes: 0 to {classes - 1}, and "
                    f"{IGNORED_LABEL} for pixels that do not count"
                )
        found[found == IGNORED_LABEL] = classes
        places = expected * (classes + 1) + found
        self._counts += np.bincount(places, minlength=self._counts.size).reshape(self._counts.shape)
        self._samples += 1

    @classmethod
    def of_counts(cls, classes: Sequence[str], counts: NDArray[np.int64]) -> "SemanticSegmentation":
        """Return one that has counted pixels already: true class by predicted class, the last of them none."""
        made = cls(classes)
        made._counts = counts
        return made

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pixels (classes, classes + 1): true class by predicted class, the last of them none."""
        return self._counts

    def metrics(self) -> dict[str, float]:
        """Return `accuracy` (equal to `miou`), `miou`, `pixel_accuracy` and `iou_<class>`.

        A class that occurs neither in the labels nor in the predictions has no IoU and is not part of the mean.

        Raises:
            DatasetError: no pixel is labelled.
        """
        if not self._counts.any():
            raise DatasetError("no pixel of these pictures is labelled, so there is nothing to measure")
        hits, confusion = np.diagonal(self._counts), self._counts[:, :-1]
        union = self._counts.sum(1) + confusion.sum(0) - hits
        iou = {f"iou_{name}": float(h / u) for name, h, u in zip(self._classes, hits, union, strict=True) if u}
        miou = float(np.mean(list(iou.values())))
        return {"accuracy": miou, "miou": miou, "pixel_accuracy": float(hits.sum() / self._counts.sum()), **iou}

    def details(self) -> dict[str, Any]:
        """Return `samples` and `confusion`, in pixels: rows are true classes, columns predicted ones."""
        confusion: NDArray[np.int64] = self._counts[:, :-1]
        return {"samples": self._samples, "confusion": confusion.tolist()}
