"""How sure a metric is that was measured on a sample."""

from typing import Any

import numpy as np
import pytest

from edge_pipeline.tasks.base import evaluator
from edge_pipeline.tasks.confidence import interval_95, wilson_95

CLASSES = ("road", "roof", "tree")


@pytest.mark.parametrize(
    ("right", "count", "expected"),
    [
        (60, 60, (0.9398, 1.0)),
        (45, 50, (0.7864, 0.9565)),
        (0, 10, (0.0, 0.2775)),
        (5, 10, (0.2366, 0.7634)),
        (81, 263, (0.2553, 0.3662)),  # Newcombe (1998), table I
        (15, 148, (0.0624, 0.1605)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_the_interval_of_a_proportion_is_wilsons(right: int, count: int, expected: tuple[float, float]) -> None:
    assert wilson_95(right, count) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("count", [1, 7, 64, 10_000])
def test_the_interval_contains_the_proportion_and_stays_a_proportion(count: int) -> None:
    for right in {0, 1, count // 2, count}:
        low, high = wilson_95(right, count)
        assert 0 <= low <= right / count <= high <= 1
        assert low < high


def test_classification_counts_the_images_that_are_right() -> None:
    scores = np.eye(3, dtype=np.float32)
    pairs = [(scores[index % 3], index % 3) for index in range(45)] + [(scores[0], 1)] * 5
    assert interval_95("classification", CLASSES, pairs) == wilson_95(45, 50)


@pytest.fixture
def maps() -> list[tuple[Any, Any]]:
    """20 label maps, of which the network gets between half and all pixels right."""
    generator = np.random.default_rng(1)
    found = []
    for _ in range(20):
        truth = generator.integers(0, 3, (8, 8))
        wrong = generator.random((8, 8)) < generator.uniform(0, 0.5)
        found.append((np.where(wrong, (truth + 1) % 3, truth), truth))
    return found


def test_the_bootstrap_contains_what_was_measured_and_is_the_same_again(maps: list[tuple[Any, Any]]) -> None:
    measured = evaluator("semantic_segmentation", CLASSES)
    for pair in maps:
        measured.add(*pair)
    found = interval_95("semantic_segmentation", CLASSES, maps)
    assert found is not None
    assert 0 <= found[0] < measured.metrics()["accuracy"] < found[1] <= 1
    assert interval_95("semantic_segmentation", CLASSES, maps) == found


def test_more_images_make_it_narrower(maps: list[tuple[Any, Any]]) -> None:
    few = interval_95("semantic_segmentation", CLASSES, maps)
    many = interval_95("semantic_segmentation", CLASSES, maps * 8)
    assert few is not None
    assert many is not None
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_a_task_of_the_users_own_has_none() -> None:
    assert interval_95("custom", (), [(1, 2)]) is None
