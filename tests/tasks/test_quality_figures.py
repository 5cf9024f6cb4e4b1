import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.tasks.figures import Result, quality_figure

NAMES = ("cat", "dog")


def drawn(figure: Any) -> tuple[int, int]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return Image.open(buffer).size


def result(task: str, title: str = "digits@host/onnx/float", value: float = 0.5) -> Result:
    details = {
        "samples": 14,
        "confusion": [[5, 0], [2, 7]],
        "classes": {name: {"objects": 1, "predictions": 1, "ap": 0.1, "ap50": value} for name in NAMES},
    }
    metrics = {"iou_cat": value, "iou_dog": value} if task == "semantic_segmentation" else {"rmse": value}
    return title, metrics if task == "custom" else {"accuracy": 0.75, **metrics}, details


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize(
    "task", ["classification", "detection", "instance_segmentation", "semantic_segmentation", "custom"]
)
def test_any_number_of_targets_can_be_drawn(task: str, count: int) -> None:
    assert min(drawn(quality_figure([result(task)] * count, NAMES, task))) > 0


def test_there_is_one_confusion_matrix_for_each_target() -> None:
    assert len(quality_figure([result("classification")] * 3, NAMES, "classification").axes) == 3


def test_a_confusion_matrix_shows_its_counts_target_and_accuracy() -> None:
    (axes,) = quality_figure([result("classification")], NAMES, "classification").axes
    assert sorted(text.get_text() for text in axes.texts) == ["2", "5", "7"]
    assert axes.get_title() == "digits@host/onnx/float\naccuracy 75.00% of 14"


def test_the_names_of_very_many_classes_are_left_out() -> None:
    names = tuple(f"class{index}" for index in range(200))
    details = {"samples": 200, "confusion": np.eye(200, dtype=int).tolist()}
    (axes,) = quality_figure([("a", {"accuracy": 1.0}, details)], names, "classification").axes
    assert not axes.texts


@pytest.mark.parametrize("task", ["detection", "instance_segmentation", "semantic_segmentation"])
def test_every_class_has_a_bar_for_every_target(task: str) -> None:
    figure = quality_figure([result(task, "a", 0.5), result(task, "b", 0.25)], NAMES, task)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.5, 0.25, 0.25]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a  75.0%", "b  75.0%"]


def test_a_class_without_a_value_anywhere_is_left_out() -> None:
    one, two = (("t", {"accuracy": 0.5, "iou_dog": 0.5}, {}), ("u", {"accuracy": 0.5}, {}))
    (axes,) = quality_figure([one, two], NAMES, "semantic_segmentation").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["dog"]
    assert [text.get_text() for text in axes.texts] == ["0.50"]


def test_of_very_many_classes_those_that_differ_most_between_targets_are_drawn() -> None:
    names = tuple(f"class{index}" for index in range(60))
    first = {"accuracy": 0.5, **{f"iou_{name}": 0.9 for name in names}}
    second = {"accuracy": 0.5, **{f"iou_{name}": 0.9 - index / 100 for index, name in enumerate(names)}}
    (axes,) = quality_figure([("a", first, {}), ("b", second, {})], names, "semantic_segmentation").axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"class{index}" for index in range(59, 39, -1)]
    assert axes.get_title(loc="left") == "IoU of every class, the 20 of 60 classes that differ most between targets"
    (axes,) = quality_figure([("b", second, {})], names, "semantic_segmentation").axes
    assert axes.get_yticklabels()[0].get_text() == "class59"


def test_metrics_of_the_users_own_have_axes_of_their_own() -> None:
    figure = quality_figure([("a", {"rmse": 12.5, "f1": 0.5}, {}), ("b", {"rmse": 20.0}, {})], (), "custom")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["rmse", "f1"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [12.5, 20.0]
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.5", ""]
