from typing import Any

import numpy as np
import pytest
import torch

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.calibration import Inputs, shortcomings


class Labelled:
    """Samples that have nothing but labels."""

    classes = ("cat", "dog", "eel")

    def __init__(self, *truths: Any) -> None:
        self.truths = truths

    def truth(self, index: int) -> Any:
        return self.truths[index]


def objects(*classes: int) -> Instances:
    count = len(classes)
    boxes, scores = np.zeros((count, 4), np.float32), np.ones(count, np.float32)
    return Instances((8, 8), boxes, np.array(classes, np.int64), scores, None, np.zeros(count, bool))


def pixels(*classes: int) -> Any:
    return np.array([classes], np.uint8)


KINDS = [
    (0, 1, 2),
    tuple(np.int64(one) for one in range(3)),
    (objects(0, 0), objects(1), objects(2, 1)),
    (pixels(0, IGNORED_LABEL), pixels(0, 1), pixels(2)),
]
kinds = pytest.mark.parametrize("truths", KINDS, ids=["labels", "numpy", "objects", "pixels"])


def found(*truths: Any, chosen: Any = None, wanted: int = 1) -> list[str]:
    samples: Any = Labelled(*truths)
    return shortcomings(samples, range(len(truths)) if chosen is None else chosen, wanted)


@kinds
def test_enough_images_of_all_classes_lack_nothing(truths: Any) -> None:
    assert found(*truths, wanted=3) == []


@kinds
def test_classes_that_no_image_shows_are_named(truths: Any) -> None:
    (said,) = found(*truths, chosen=[0])
    assert said.startswith("no calibration image shows dog, eel (2 of 3 classes); raise `quantize.calibration_images`")


@kinds
def test_too_few_images_are_told(truths: Any) -> None:
    (said,) = found(*truths, wanted=5)
    assert said == "only 3 calibration images: the training part has no more, 5 were asked for"


def test_both_are_told() -> None:
    assert len(found(1, wanted=2)) == 2


@pytest.mark.parametrize("truths", [(None,), ({"value": 3},), (np.zeros(3, np.float32),), (objects(),)], ids=str)
def test_labels_without_classes_tell_nothing_of_them(truths: Any) -> None:
    assert found(*truths) == []


def test_only_the_first_of_many_missing_classes_are_named() -> None:
    samples: Any = Labelled(0)
    samples.classes = tuple(f"c{i}" for i in range(9))
    (said,) = shortcomings(samples, [0], 1)
    assert "shows c1, c2, c3, c4, c5, ... (8 of 9 classes)" in said


def test_batches_are_the_same_every_time(digits: Any, spec: ModelSpec) -> None:
    inputs = Inputs(digits, recipes.interface(spec), tuple(range(10)), 4)
    first, second = list(inputs), list(inputs)
    assert [len(one) for (one,) in first] == [4, 4, 2]
    assert len(inputs) == 3
    assert all(torch.equal(a, b) for (a,), (b,) in zip(first, second, strict=True))
    assert len(inputs.first(3)) == 1
    assert len(inputs.one_by_one()) == 10
    assert len(inputs.first(100)) == 3
