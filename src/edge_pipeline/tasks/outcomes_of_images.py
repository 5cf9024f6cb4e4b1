"""The outcomes of classification and of semantic segmentation: counts that simply add up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.tasks.base import Prediction, Truth
from edge_pipeline.tasks.outcomes import Columns, Outcomes, Recorder
from edge_pipeline.tasks.semantic import SemanticSegmentation


class Labels(Recorder):
    """Of classification: true class, predicted class, and whether the true one is among the first five."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self._rows: list[tuple[int, int, bool]] = []

    def add(self, index: int, prediction: Prediction, truth: Truth) -> None:
        """Keep one image; of equal probabilities the lower index wins, as in the metrics."""
        probabilities, label = np.asarray(prediction), int(truth)
        before = (probabilities > probabilities[label]).sum() + (probabilities[:label] == probabilities[label]).sum()
        self.images.append(index)
        self._rows.append((label, int(probabilities.argmax()), bool(before < 5)))

    def columns(self) -> Columns:
        """Return `label`, `named` and `top5`, each (n,)."""
        rows = np.asarray(self._rows, np.int32).reshape(-1, 3)
        return {"label": rows[:, 0], "named": rows[:, 1], "top5": rows[:, 2]}


class LabelOutcomes(Outcomes):
    """Accuracy, top 5 and the recall of every class."""

    def metrics(self, weights: NDArray[np.int64]) -> dict[str, float]:
        """Return the metrics of `Classification`, but for calibration."""
        label, total = self.columns["label"], int(weights.sum())
        if not total:
            return {}
        right = weights * (label == self.columns["named"])
        accuracy = float(right.sum() / total)
        of_class = np.bincount(label, weights, minlength=len(self.classes))
        hits = np.bincount(label, right, minlength=len(self.classes))
        recall = {f"recall_{name}": float(hits[k] / of_class[k]) for k, name in enumerate(self.classes) if of_class[k]}
        top5 = float((weights * self.columns["top5"]).sum() / total)
        return {"accuracy": accuracy, "top1": accuracy, "top5": top5, **recall}

    def take(self, places: NDArray[np.int64]) -> "LabelOutcomes":
        """Return those of some images."""
        chosen = {name: column[places] for name, column in self.columns.items()}
        return LabelOutcomes(self.classes, self.images[places], chosen)


class Pixels(Recorder):
    """Of semantic segmentation: the confusion of every image, in pixels."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self._counts: list[NDArray[np.int32]] = []

    def add(self, index: int, prediction: Prediction, truth: Truth) -> None:
        """Keep one image."""
        one = SemanticSegmentation(self.classes)
        one.add(prediction, truth)
        self.images.append(index)
        self._counts.append(one.counts.astype(np.int32))

    def columns(self) -> Columns:
        """Return `counts` (n, classes, classes + 1): true class by predicted class, the last of them none."""
        shape = (len(self.images), len(self.classes), len(self.classes) + 1)
        return {"counts": np.asarray(self._counts, np.int32).reshape(shape)}


class PixelOutcomes(Outcomes):
    """Intersection over union and pixel accuracy."""

    def metrics(self, weights: NDArray[np.int64]) -> dict[str, float]:
        """Return the metrics of `SemanticSegmentation`."""
        counts = np.tensordot(weights, self.columns["counts"].astype(np.int64), 1)
        return SemanticSegmentation.of_counts(self.classes, counts).metrics() if counts.any() else {}

    def take(self, places: NDArray[np.int64]) -> "PixelOutcomes":
        """Return those of some images."""
        return PixelOutcomes(self.classes, self.images[places], {"counts": self.columns["counts"][places]})
