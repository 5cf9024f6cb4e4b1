"""Against cases computed by hand, and against a plain restatement of the definition."""

import logging
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks import detection
from edge_pipeline.tasks.detection import Detection

SIZE = (200, 300)
FAR = [250, 150, 260, 160]


def objects(boxes: Any, classes: Any = None, scores: Any = None, crowd: Any = None) -> Instances:
    return Instances.of(SIZE, boxes, [0] * len(boxes) if classes is None else classes, scores, crowd=crowd)


def metrics(*pairs: tuple[Instances, Instances], classes: tuple[str, ...] = ("a", "b")) -> dict[str, float]:
    judge = Detection(classes, masks=False)
    for pair in pairs:
        judge.add(*pair)
    return judge.metrics()


def iou(one: Any, other: Any) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(width * height / (areas - width * height))


def average_precision(pairs: list[tuple[Instances, Instances]], kind: int, threshold: float) -> float:
    """Return the mean over 101 recalls of the best precision at that recall or a higher one."""
    marks, total = [], 0
    for found, truth in pairs:
        labels = truth.boxes[truth.classes == kind].astype(float)
        total += len(labels)
        free = set(range(len(labels)))
        chosen = found.take(found.classes == kind)
        for index in np.argsort(-chosen.scores, kind="stable"):
            overlaps = {label: iou(chosen.boxes[index].astype(float), labels[label]) for label in free}
            best = max(overlaps, key=overlaps.__getitem__, default=None)
            hit = best is not None and overlaps[best] >= threshold
            free -= {best} if hit else set()
            marks.append((float(chosen.scores[index]), hit))
    hits = np.cumsum([hit for _, hit in sorted(marks, key=lambda mark: -mark[0])])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / total
    return float(np.mean([max(precision[recall >= level - 1e-12], default=0.0) for level in np.linspace(0, 1, 101)]))


def test_a_case_computed_by_hand() -> None:
    truth = objects([[10, 10, 50, 50], [100, 100, 160, 150]])
    found = objects([[10, 10, 50, 50], FAR, [100, 100, 160, 150]], scores=[0.9, 0.8, 0.7])
    # Right, wrong, right: precision 1 up to recall 0.5 (51 of 101 levels), 2/3 above (50 levels).
    expected = (51 + 50 * 2 / 3) / 101
    result = metrics((found, truth))
    names = ("accuracy", "map50_95", "map50", "map75", "ap_a", "ap50_a")
    assert [result[name] for name in names] == pytest.approx([expected] * 6)
    assert result["recall_100"] == 1


def test_a_box_counts_up_to_the_threshold_that_it_reaches() -> None:
    # IoU 0.72: right at 0.50, 0.55, 0.60, 0.65 and 0.70.
    result = metrics((objects([[0, 0, 72, 100]], scores=[0.5]), objects([[0, 0, 100, 100]])))
    assert (result["map50"], result["map75"]) == (1, 0)
    assert result["map50_95"] == pytest.approx(0.5)
    assert result["recall_100"] == pytest.approx(0.5)


@pytest.mark.parametrize("group", [100_000, 40, 1])
def test_random_detections_against_the_definition(group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "GROUP", group)
    generator = np.random.default_rng(1)
    pairs = []
    for _ in range(12):
        corners = generator.uniform(0, 120, (9, 2))
        boxes = np.concatenate([corners, corners + generator.uniform(15, 70, (9, 2))], 1)
        kinds = generator.integers(0, 3, 9)
        moved = np.concatenate(
            [boxes + generator.normal(0, 4, boxes.shape), boxes[:3] + generator.normal(0, 9, (3, 4))]
        )
        guessed = np.where(generator.random(12) < 0.8, np.append(kinds, kinds[:3]), 2)
        pairs.append((objects(moved, guessed, generator.random(12)), objects(boxes, kinds)))
    result = metrics(*pairs, classes=("a", "b", "c"))
    thresholds = np.linspace(0.5, 0.95, 10)
    expected = np.array([[average_precision(pairs, kind, level) for kind in range(3)] for level in thresholds])
    assert 0.1 < expected.mean() < 0.9
    assert result["map50_95"] == pytest.approx(expected.mean())
    assert (result["map50"], result["map75"]) == (pytest.approx(expected[0].mean()), pytest.approx(expected[5].mean()))
    assert [result[f"ap_{name}"] for name in "abc"] == pytest.approx(expected.mean(0).tolist())
    assert [result[f"ap50_{name}"] for name in "abc"] == pytest.approx(expected[0].tolist())


def test_the_same_object_found_twice_counts_once() -> None:
    box = [10, 10, 50, 50]
    twice = metrics((objects([box, box, FAR], scores=[0.9, 0.8, 0.7]), objects([box, FAR])))
    assert twice["map50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_right_box_with_the_wrong_class_is_wrong() -> None:
    box = [10, 10, 50, 50]
    assert metrics((objects([box], [1], [0.9]), objects([box], [0])))["map50"] == 0


def test_boxes_of_another_picture_do_not_count() -> None:
    box = [10, 10, 50, 50]
    empty = objects([])
    assert metrics((objects([box], scores=[0.9]), empty), (empty, objects([box])))["map50"] == 0


def test_what_overlaps_a_crowd_counts_neither_for_nor_against() -> None:
    truth = objects([[10, 10, 50, 50], [100, 50, 200, 150]], crowd=[False, True])
    found = objects([[110, 60, 130, 90], [140, 60, 180, 140], [10, 10, 50, 50]], scores=[0.9, 0.8, 0.3])
    assert metrics((found, truth))["map50_95"] == 1
    assert metrics((found, truth.take([0])))["map50_95"] < 0.5


def test_only_sizes_that_occur_have_a_metric() -> None:
    small, medium, large = [10, 10, 30, 30], [50, 50, 100, 100], [100, 20, 250, 180]
    found = objects([small, large], scores=[0.9, 0.8])
    result = metrics((found, objects([small, large])))
    assert (result["map_small"], result["map_large"]) == (1, 1)
    assert "map_medium" not in result
    assert metrics((found, objects([medium, large])))["map_medium"] == 0


def test_classes_without_labels_have_no_metric_and_do_not_lower_the_mean() -> None:
    box = [10, 10, 50, 50]
    result = metrics((objects([box, FAR], [0, 1], [0.5, 0.9]), objects([box])))
    assert result["map50"] == 1
    assert not {"ap_b", "ap50_b"} & set(result)


def test_without_predictions_everything_is_zero() -> None:
    result = metrics((objects([]), objects([[10, 10, 50, 50]])))
    assert set(result) == {"accuracy", "map50_95", "map50", "map75", "map_medium", "recall_100", "ap_a", "ap50_a"}
    assert set(result.values()) == {0.0}


@pytest.mark.parametrize("truth", [objects([]), objects([FAR], crowd=[True])])
def test_without_labelled_objects_there_is_nothing_to_measure(truth: Instances) -> None:
    judge = Detection(("a",), masks=False)
    judge.add(objects([FAR]), truth)
    for read in (judge.metrics, judge.details):
        with pytest.raises(DatasetError, match="these pictures have no labelled objects"):
            read()


def test_without_pictures_there_is_nothing_to_measure() -> None:
    with pytest.raises(DatasetError, match="no labelled objects"):
        Detection(("a",), masks=False).metrics()


def test_pictures_added_after_the_metrics_were_read_count() -> None:
    judge = Detection(("a",), masks=False)
    judge.add(objects([FAR]), objects([FAR]))
    assert judge.metrics()["accuracy"] == 1
    judge.add(objects([]), objects([FAR]))
    assert judge.metrics()["accuracy"] == pytest.approx(51 / 101)


def test_details_count_objects_and_predictions_of_every_class() -> None:
    judge = Detection(("a", "b"), masks=False)
    judge.add(objects([FAR, FAR], [0, 1], [0.9, 0.8]), objects([FAR, FAR], crowd=[False, True]))
    assert judge.details() == {
        "samples": 1,
        "classes": {
            "a": {"objects": 1, "predictions": 1, "ap": 1.0, "ap50": 1.0},
            "b": {"objects": 0, "predictions": 1},
        },
    }


def test_nothing_is_printed_or_logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        metrics((objects([FAR]), objects([FAR])))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_prediction_for_another_size_is_refused() -> None:
    with pytest.raises(ModelError, match=r"for \(100, 100\) \(h, w\) pixels, the labels are for \(200, 300\)"):
        metrics((Instances.of((100, 100), [], []), objects([FAR])))


def test_unknown_classes_are_refused() -> None:
    with pytest.raises(ModelError, match="a prediction has the class 2, but there are 2 classes"):
        metrics((objects([FAR], [2]), objects([FAR])))
    with pytest.raises(DatasetError, match="a label has the class -1, but there are 2 classes"):
        metrics((objects([FAR]), objects([FAR], [-1])))


def test_what_is_not_objects_is_refused() -> None:
    with pytest.raises(ModelError, match="a prediction is ndarray, not Instances"):
        Detection(("a",), masks=False).add(np.zeros(3), objects([]))
