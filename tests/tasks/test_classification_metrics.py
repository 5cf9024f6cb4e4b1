"""Against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from edge_pipeline.tasks import classification

CLASSES = tuple("abcdefgh")


@pytest.fixture(scope="module")
def predictions() -> tuple[Any, Any]:
    """Logits of 500 samples of eight classes, right in about half of the cases, and labels."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 500)
    logits = generator.normal(size=(500, 8)).astype(np.float32)
    logits[np.arange(500), labels] += 1.5
    return logits, labels


def test_top1_and_the_headline_are_the_accuracy(predictions: tuple[Any, Any]) -> None:
    logits, labels = predictions
    found = classification.metrics(logits, labels, CLASSES)
    assert found["top1"] == pytest.approx(sklearn_metrics.accuracy_score(labels, logits.argmax(1)))
    assert found[classification.HEADLINE] == found["top1"]


def test_top5(predictions: tuple[Any, Any]) -> None:
    logits, labels = predictions
    expected = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5)
    assert classification.metrics(logits, labels, CLASSES)["top5"] == pytest.approx(expected)


def test_the_recall_of_every_class(predictions: tuple[Any, Any]) -> None:
    logits, labels = predictions
    found = classification.metrics(logits, labels, CLASSES)
    expected = sklearn_metrics.recall_score(labels, logits.argmax(1), average=None)
    assert [found[f"recall_{name}"] for name in CLASSES] == pytest.approx(expected.tolist())


def test_the_confusion_matrix(predictions: tuple[Any, Any]) -> None:
    logits, labels = predictions
    expected = sklearn_metrics.confusion_matrix(labels, logits.argmax(1))
    assert np.array_equal(classification.confusion_matrix(logits, labels, 8), expected)


def test_the_confusion_matrix_has_rows_for_classes_that_never_occur() -> None:
    logits = np.eye(4, dtype=np.float32)[[1, 1]]
    assert classification.confusion_matrix(logits, np.array([1, 2]), 4) == (
        (0, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 0, 0),
    )


def test_a_class_without_samples_has_no_recall_rather_than_an_invented_one() -> None:
    found = classification.metrics(np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 1]), ("a", "b", "c"))
    assert (found["recall_a"], found["recall_b"]) == (1.0, 1.0)
    assert "recall_c" not in found


def test_the_figures_agree_with_the_confusion_matrix_when_logits_tie() -> None:
    logits = np.zeros((3, 4), np.float32)
    labels = np.array([0, 1, 0])
    matrix = np.array(classification.confusion_matrix(logits, labels, 4))
    assert classification.metrics(logits, labels, tuple("abcd"))["top1"] == pytest.approx(matrix.trace() / 3)
