from typing import Any

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.semantic import SemanticSegmentation

CLASSES = ("road", "car", "sky")


def measured(*pairs: tuple[Any, Any], classes: tuple[str, ...] = CLASSES) -> SemanticSegmentation:
    judge = SemanticSegmentation(classes)
    for prediction, truth in pairs:
        judge.add(np.asarray(prediction, np.uint8), np.asarray(truth, np.uint8))
    return judge


def test_a_case_computed_by_hand() -> None:
    prediction = [[0, 0, 1], [1, 1, 2]]
    truth = [[0, 1, 1], [1, 255, 2]]
    assert measured((prediction, truth)).metrics() == pytest.approx(
        {
            "accuracy": (1 / 2 + 2 / 3 + 1) / 3,
            "miou": (1 / 2 + 2 / 3 + 1) / 3,
            "pixel_accuracy": 4 / 5,
            "iou_road": 1 / 2,
            "iou_car": 2 / 3,
            "iou_sky": 1.0,
        }
    )


def test_against_scikit_learn_over_several_pictures_of_different_sizes() -> None:
    generator = np.random.default_rng(0)
    classes = tuple(f"c{index}" for index in range(7))
    pairs = [
        (generator.integers(0, 7, size, np.uint8), generator.integers(0, 7, size, np.uint8))
        for size in ((20, 31), (5, 8), (40, 2))
    ]
    truth, prediction = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (1, 0))
    found = measured(*pairs, classes=classes).metrics()
    assert found["miou"] == pytest.approx(jaccard_score(truth, prediction, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx((truth == prediction).mean())


def test_the_intersections_of_all_pictures_are_summed_before_dividing() -> None:
    found = measured(([[0]], [[0]]), ([[1, 1, 1]], [[0, 0, 0]])).metrics()
    assert found["iou_road"] == pytest.approx(1 / 4)


def test_a_class_that_occurs_nowhere_is_not_part_of_the_mean() -> None:
    found = measured(([[0, 1]], [[0, 0]])).metrics()
    assert "iou_sky" not in found
    assert found["iou_car"] == 0
    assert found["miou"] == pytest.approx((1 / 2 + 0) / 2)


def test_predictions_of_pixels_without_a_label_count_for_nothing() -> None:
    assert measured(([[0, 1, 1]], [[0, 255, 255]])).metrics()["miou"] == 1


def test_labelled_pixels_without_a_prediction_are_missed() -> None:
    found = measured(([[0, 255]], [[0, 0]]))
    assert found.metrics() == pytest.approx({"accuracy": 0.5, "miou": 0.5, "pixel_accuracy": 0.5, "iou_road": 0.5})


def test_the_confusion_matrix_in_pixels() -> None:
    found = measured(([[0, 1, 1]], [[0, 0, 1]]), ([[2]], [[2]])).details()
    assert found == {"samples": 2, "confusion": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}


def test_another_size_is_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(2, 2\), but the label map \(2, 3\)"):
        measured((np.zeros((2, 2)), np.zeros((2, 3))))


def test_an_unknown_class_in_the_labels_is_the_fault_of_the_dataset() -> None:
    with pytest.raises(DatasetError, match="a label map holds the class 3, but there are 3 classes: 0 to 2, and 255"):
        measured(([[0, 0]], [[0, 3]]))


def test_an_unknown_class_in_the_prediction_is_the_fault_of_the_model() -> None:
    with pytest.raises(ModelError, match="a prediction holds the class 3, but there are 3 classes"):
        measured(([[3, 0]], [[0, 0]]))


@pytest.mark.parametrize("pairs", [[], [([[0]], [[255]])]])
def test_without_labelled_pixels_there_is_nothing_to_measure(pairs: list[Any]) -> None:
    with pytest.raises(DatasetError, match="no pixel of these pictures is labelled"):
        measured(*pairs).metrics()
