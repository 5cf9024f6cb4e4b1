"""Image classification: one label per image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.base import Prediction, Truth

CALIBRATION_BINS = 15


class Classification:
    """Accuracy, top 5, recall of every class, calibration and the confusion matrix.

    Calibration is the expected calibration error: the gap between the probability of the predicted class and how often
    it is right, over 15 equal bins of that probability (Guo et al., On Calibration of Modern Neural Networks, 2017).
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self._confusion = np.zeros((len(classes), len(classes)), np.int64)
        self._in_top5 = 0
        self._calibration = np.zeros((CALIBRATION_BINS, 2))

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Count one picture: `prediction` holds probabilities (classes,), `truth` is an index.

        Raises:
            ModelError: the number of probabilities is not the number of classes.
            DatasetError: the index names no class.
        """
        probabilities, label, classes = np.asarray(prediction), int(truth), len(self._classes)
        if probabilities.shape != (classes,):
            raise ModelError(
                f"the model gives probabilities of shape {probabilities.shape}, the dataset has {classes} classes. "
                "Set `classes` of the model to the dataset's, or check the order of its outputs."
            )
        if not 0 <= label < classes:
            raise DatasetError(f"a sample has the label {label}, but there are {classes} classes, 0 to {classes - 1}")
        # Of equal probabilities the lower index wins, in every metric.
        named = int(probabilities.argmax())
        before = (probabilities > probabilities[label]).sum() + (probabilities[:label] == probabilities[label]).sum()
        confidence = float(probabilities[named])
        place = int(np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1))
        self._confusion[label, named] += 1
        self._in_top5 += int(before < 5)
        self._calibration[place] += (named == label, confidence)

    def metrics(self) -> dict[str, float]:
        """Return `accuracy` (equal to `top1`), `top1`, `top5`, `ece`, and `recall_<class>` of classes with samples.

        Raises:
            DatasetError: there were no samples.
        """
        samples = int(self._confusion.sum())
        if not samples:
            raise DatasetError("there are no samples, so there is nothing to measure")
        top1 = float(self._confusion.trace() / samples)
        right, confidence = self._calibration.T
        recall = {
            f"recall_{name}": float(row[index] / row.sum())
            for index, (name, row) in enumerate(zip(self._classes, self._confusion, strict=True))
            if row.any()
        }
        return {
            "accuracy": top1,
            "top1": top1,
            "top5": self._in_top5 / samples,
            "ece": float(np.abs(right - confidence).sum() / samples),
            **recall,
        }

    def details(self) -> dict[str, Any]:
        """Return `samples` and `confusion`: rows are true classes, columns predicted ones."""
        return {"samples": int(self._confusion.sum()), "confusion": self._confusion.tolist()}
