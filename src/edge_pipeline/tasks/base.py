"""The tasks by name, and what measures their predictions."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import ModelError, suggest

Prediction = NDArray[Any] | Instances | tuple[NDArray[Any], ...]
"""Of one picture: probabilities (classes,), `Instances`, a label map (h, w) of uint8, or a network's raw outputs."""

Truth = Any
"""Of one picture: a class index, `Instances`, a label map (h, w) of uint8, or whatever a dataset of one's own gives."""

TASKS = ("classification", "detection", "instance_segmentation", "semantic_segmentation", "custom")
HEADLINE = "accuracy"
"""The metric that every task but `custom` has, 0 to 1."""


class Evaluator(Protocol):
    """Takes predictions one by one, and at the end says how good they are."""

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Count one picture."""

    def metrics(self) -> dict[str, float]:
        """Return finite numbers; what the pictures cannot tell is absent."""

    def details(self) -> dict[str, Any]:
        """Return what does not fit into a number, ready for JSON: `samples` (how many), confusion matrix, classes."""


class Uncounted:
    """The evaluator of the task `custom`: only a metric of the user's own can make sense of its outputs."""

    def __init__(self) -> None:
        self._samples = 0

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Count one picture."""
        self._samples += 1

    def metrics(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def details(self) -> dict[str, Any]:
        """Return the number of `samples`."""
        return {"samples": self._samples}


def evaluator(task: str, classes: Sequence[str]) -> Evaluator:
    """Return what measures the predictions of `task`.

    Raises:
        ModelError: there is no such task.
    """
    from edge_pipeline.tasks.classification import Classification
    from edge_pipeline.tasks.detection import Detection
    from edge_pipeline.tasks.semantic import SemanticSegmentation

    match task:
        case "classification":
            return Classification(classes)
        case "detection":
            return Detection(classes, masks=False)
        case "instance_segmentation":
            return Detection(classes, masks=True)
        case "semantic_segmentation":
            return SemanticSegmentation(classes)
        case "custom":
            return Uncounted()
    raise ModelError(f"there is no task '{task}': {suggest(task, TASKS)}")
