"""Against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.base import HEADLINE
from edge_pipeline.tasks.classification import Classification

CLASSES = tuple("abcdefgh")


def measured(probabilities: Any, labels: Any, classes: tuple[str, ...] = CLASSES) -> Classification:
    judge = Classification(classes)
    for one, label in zip(probabilities, labels, strict=True):
        judge.add(one, label)
    return judge


@pytest.fixture(scope="module")
def predictions() -> tuple[Any, Any]:
    """Probabilities of 500 samples of eight classes, right in about half of the cases, and labels."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 500)
    logits = generator.normal(size=(500, 8)).astype(np.float32)
    logits[np.arange(500), labels] += 1.5
    values = np.exp(logits)
    return values / values.sum(1, keepdims=True), labels


def test_top1_and_the_headline_are_the_accuracy(predictions: tuple[Any, Any]) -> None:
    probabilities, labels = predictions
    found = measured(*predictions).metrics()
    assert found["top1"] == pytest.approx(sklearn_metrics.accuracy_score(labels, probabilities.argmax(1)))
    assert found[HEADLINE] == found["top1"]


def test_top5(predictions: tuple[Any, Any]) -> None:
    probabilities, labels = predictions
    expected = sklearn_metrics.top_k_accuracy_score(labels, probabilities, k=5)
    assert measured(*predictions).metrics()["top5"] == pytest.approx(expected)


def test_the_recall_of_every_class(predictions: tuple[Any, Any]) -> None:
    probabilities, labels = predictions
    found = measured(*predictions).metrics()
    expected = sklearn_metrics.recall_score(labels, probabilities.argmax(1), average=None)
    assert [found[f"recall_{name}"] for name in CLASSES] == pytest.approx(expected.tolist())


def test_the_confusion_matrix(predictions: tuple[Any, Any]) -> None:
    probabilities, labels = predictions
    expected = sklearn_metrics.confusion_matrix(labels, probabilities.argmax(1))
    assert measured(*predictions).details() == {"samples": 500, "confusion": expected.tolist()}


def test_the_confusion_matrix_has_rows_for_classes_that_never_occur() -> None:
    found = measured(np.eye(4, dtype=np.float32)[[1, 1]], [1, 2], tuple("abcd")).details()["confusion"]
    assert found == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_a_class_without_samples_has_no_recall_rather_than_an_invented_one() -> None:
    found = measured(np.eye(3, dtype=np.float32)[[0, 1]], [0, 1], ("a", "b", "c")).metrics()
    assert (found["recall_a"], found["recall_b"]) == (1.0, 1.0)
    assert "recall_c" not in found


def test_the_figures_agree_with_the_confusion_matrix_when_probabilities_tie() -> None:
    judge = measured(np.full((3, 7), 1 / 7, np.float32), [0, 1, 5], tuple("abcdefg"))
    assert judge.metrics()["top1"] == pytest.approx(np.array(judge.details()["confusion"]).trace() / 3)
    assert judge.metrics()["top5"] == pytest.approx(2 / 3)


def test_labels_may_be_numbers_of_numpy() -> None:
    assert measured(np.eye(8, dtype=np.float32), np.arange(8)).metrics()["accuracy"] == 1


def test_probabilities_of_other_classes_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(9,\), the dataset has 8 classes"):
        Classification(CLASSES).add(np.ones(9, np.float32) / 9, 0)


@pytest.mark.parametrize("label", [-1, 8])
def test_labels_of_no_class_are_refused(label: int) -> None:
    with pytest.raises(DatasetError, match=rf"label {label}, but there are 8 classes"):
        Classification(CLASSES).add(np.ones(8, np.float32) / 8, label)


def test_without_samples_there_is_nothing_to_measure() -> None:
    with pytest.raises(DatasetError, match="no samples"):
        Classification(CLASSES).metrics()
