import json

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import ModelError
from edge_pipeline.tasks.base import HEADLINE, TASKS, Prediction, Truth, evaluator


def sample(task: str) -> tuple[Prediction, Truth]:
    box = Instances.of((20, 20), [[2, 2, 12, 12]], [1], masks=np.ones((1, 20, 20), np.uint8))
    labels = np.ones((4, 4), np.uint8)
    return {
        "classification": (np.array([0.2, 0.8], np.float32), 1),
        "detection": (box, box),
        "instance_segmentation": (box, box),
        "semantic_segmentation": (labels, labels),
        "custom": (np.zeros(3), "anything"),
    }[task]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_but_custom_has_the_headline(task: str) -> None:
    judge = evaluator(task, ("a", "b"))
    judge.add(*sample(task))
    assert judge.metrics().get(HEADLINE) == (None if task == "custom" else 1.0)


@pytest.mark.parametrize("task", TASKS)
def test_metrics_and_details_are_ready_for_json(task: str) -> None:
    judge = evaluator(task, ("a", "b"))
    judge.add(*sample(task))
    assert all(type(value) is float for value in judge.metrics().values())
    assert json.loads(json.dumps(judge.details(), allow_nan=False))["samples"] == 1


def test_a_misspelt_task_is_corrected() -> None:
    with pytest.raises(ModelError, match="no task 'detecton': did you mean 'detection'"):
        evaluator("detecton", ())
