"""How sure a metric is that was measured on a sample of the test images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_pipeline.tasks.base import HEADLINE, evaluator

RESAMPLES = 100
_Z95 = 1.959964


def interval_95(task: str, classes: Sequence[str], pairs: Sequence[tuple[Any, Any]]) -> tuple[float, float] | None:
    """Return the 95% confidence interval of the headline metric; `None` for a task without one.

    Of a proportion, the accuracy of classification, it is Wilson's (1927); of other metrics the percentile bootstrap
    over the images (Efron, 1979), with a fixed seed.

    Args:
        task: of the model.
        classes: names of the dataset's classes.
        pairs: (prediction, truth) of every image.
    """
    if task == "custom":
        return None
    if task == "classification":
        right = sum(int(np.asarray(prediction).argmax()) == int(truth) for prediction, truth in pairs)
        return wilson_95(right, len(pairs))
    generator = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        measured = evaluator(task, classes)
        for index in generator.integers(0, len(pairs), len(pairs)):
            measured.add(*pairs[index])
        found.append(measured.metrics()[HEADLINE])
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def wilson_95(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of the proportion `right / count`."""
    share, z2 = right / count, _Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
