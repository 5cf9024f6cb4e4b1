"""Image classification: one label per image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HEADLINE = "accuracy"


def confusion_matrix(
    logits: NDArray[np.float32], labels: NDArray[np.int64], classes: int
) -> tuple[tuple[int, ...], ...]:
    """Count (true class, predicted class) pairs. Rows are true classes.

    Args:
        logits: shape (n, classes).
        labels: shape (n,).
        classes: number of classes.
    """
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, logits.argmax(1)), 1)
    return tuple(tuple(int(count) for count in row) for row in matrix)


def metrics(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, float]:
    """Return `accuracy` (the headline, equal to `top1`), `top1`, `top5` and the recall of every class, 0 to 1.

    Args:
        logits: shape (n, classes).
        labels: shape (n,).
        classes: their names.
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    top1 = float((order[:, 0] == labels).mean())
    top5 = float((order[:, :5] == labels[:, None]).any(1).mean())
    recall = {
        f"recall_{name}": float((order[labels == index, 0] == index).mean())
        for index, name in enumerate(classes)
        if (labels == index).any()
    }
    return {"accuracy": top1, "top1": top1, "top5": top5, **recall}
