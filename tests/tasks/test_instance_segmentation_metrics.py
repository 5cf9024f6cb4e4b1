from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.detection import Detection

SIZE = (60, 80)


def mask(x0: int, y0: int, x1: int, y1: int) -> Any:
    dense = np.zeros(SIZE, np.uint8)
    dense[y0:y1, x0:x1] = 1
    return dense


def objects(masks: list[Any], boxes: Any, scores: Any = None, crowd: Any = None) -> Instances:
    return Instances.of(SIZE, boxes, [0] * len(masks), scores, np.reshape(masks, (-1, *SIZE)), crowd)


def metrics(found: Instances, truth: Instances) -> dict[str, float]:
    judge = Detection(("a",), masks=True)
    judge.add(found, truth)
    return judge.metrics()


def test_masks_make_the_headline_and_boxes_are_told_beside() -> None:
    # The boxes are equal, the mask covers 58% of the true one: right at 0.50 and 0.55.
    found = objects([mask(0, 0, 50, 29)], [[0, 0, 50, 50]], [0.9])
    result = metrics(found, objects([mask(0, 0, 50, 50)], [[0, 0, 50, 50]]))
    assert result == pytest.approx(
        {
            "accuracy": 0.2,
            "mask_map50_95": 0.2,
            "mask_map50": 1,
            "mask_map75": 0,
            "mask_map_medium": 0.2,
            "mask_recall_100": 0.2,
            "mask_ap_a": 0.2,
            "mask_ap50_a": 1,
            "map50_95": 1,
            "map50": 1,
        }
    )


def test_the_size_of_an_object_is_its_masks() -> None:
    thin = objects([mask(0, 0, 50, 2)], [[0, 0, 50, 50]])
    assert "mask_map_small" in metrics(thin, thin)
    assert "mask_map_medium" not in metrics(thin, thin)


def test_masks_that_overlap_a_crowd_count_neither_for_nor_against() -> None:
    truth = objects([mask(0, 0, 20, 20), mask(30, 0, 80, 60)], [[0, 0, 20, 20], [30, 0, 80, 60]], crowd=[False, True])
    found = objects([mask(40, 5, 50, 30), mask(0, 0, 20, 20)], [[40, 5, 50, 30], [0, 0, 20, 20]], [0.9, 0.5])
    assert metrics(found, truth)["mask_map50_95"] == 1
    assert metrics(found, truth)["map50_95"] == 1


def test_pictures_without_objects_or_predictions_need_no_masks() -> None:
    judge = Detection(("a",), masks=True)
    truth = objects([mask(0, 0, 20, 20)], [[0, 0, 20, 20]])
    judge.add(Instances.of(SIZE, [], []), truth)
    judge.add(truth, Instances.of(SIZE, [], []))
    assert judge.metrics()["accuracy"] == 0
    assert judge.details()["classes"]["a"] == {"objects": 1, "predictions": 1, "ap": 0.0, "ap50": 0.0}


def test_boxes_alone_are_refused() -> None:
    whole, boxes = objects([mask(0, 0, 20, 20)], [[0, 0, 20, 20]]), Instances.of(SIZE, [[0, 0, 20, 20]], [0])
    with pytest.raises(ModelError, match="a prediction has boxes only"):
        metrics(boxes, whole)
    with pytest.raises(DatasetError, match="a label has boxes only"):
        metrics(whole, boxes)
