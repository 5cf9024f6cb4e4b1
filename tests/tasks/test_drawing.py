"""What is drawn, by looking at the parts of the figure and at its pixels."""

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from edge_pipeline.core.annotations import Instances
from edge_pipeline.tasks.base import TASKS
from edge_pipeline.tasks.drawing import predictions_figure
from edge_pipeline.tasks.palette import colour

CLASSES = ("cat", "dog", "bird")


def png(figure: Any, dpi: Any = "figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def grey(height: int = 60, width: int = 80, channels: int = 3) -> Any:
    return np.full((height, width, channels), 128, np.uint8)


def objects(scores: Any = None, masks: bool = False) -> Instances:
    dense = np.zeros((2, 60, 80), np.uint8)
    dense[0, 10:30, 10:30] = dense[1, 30:50, 40:70] = 1
    return Instances.of((60, 80), [[10, 10, 30, 30], [40, 30, 70, 50]], [0, 2], scores, dense if masks else None)


def test_objects_have_boxes_in_the_colours_of_their_classes_with_names_and_scores() -> None:
    figure = predictions_figure(
        [grey()], [("ground truth", [objects()]), ("w8a8", [objects([0.9, 0.456])])], "detection", CLASSES
    )
    truth, found = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["ground truth", "w8a8"]
    assert sorted(texts(truth)) == ["bird", "cat"]
    assert sorted(texts(found)) == ["bird 0.46", "cat 0.90"]
    boxes = {box.get_bbox().bounds: to_rgb(box.get_edgecolor()) for box in found.patches}
    assert boxes == {
        (10, 10, 20, 20): pytest.approx(colour(0)),
        (40, 30, 30, 20): pytest.approx(colour(2)),
    }


def test_unsure_objects_are_not_drawn() -> None:
    figure = predictions_figure([grey()], [("w8a8", [objects([0.24, 0.25])])], "detection", CLASSES)
    assert texts(figure.axes[0]) == ["bird 0.25"]


def test_crowds_are_named() -> None:
    crowd = Instances.of((60, 80), [[1, 1, 9, 9]], [0], crowd=[True])
    assert texts(predictions_figure([grey()], [("truth", [crowd])], "detection", CLASSES).axes[0]) == ["cat crowd"]


def test_masks_tint_their_pixels() -> None:
    plain, tinted = (
        np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
        for figure in (
            predictions_figure([grey()], [("w8a8", [objects(masks=masks)])], "instance_segmentation", CLASSES)
            for masks in (False, True)
        )
    )
    changed = (plain != tinted).any(2)
    assert 0.02 < changed.mean() < 0.4
    expected = {tuple(round(127.5 * part + 64) for part in colour(kind)) for kind in (0, 2)}
    seen = {tuple(pixel) for pixel in tinted[changed].tolist()}
    assert all(any(np.abs(np.subtract(one, pixel)).max() <= 2 for pixel in seen) for one in expected)


def test_label_maps_are_named_in_a_legend() -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[:20] = 2
    labels[40:] = 255
    figure = predictions_figure(
        [grey()], [("truth", [labels]), ("w8a8", [np.zeros_like(labels)])], "semantic_segmentation", CLASSES
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "bird", "no label"]
    handles = figure.legends[0].legend_handles
    assert [to_rgb(one.get_facecolor()) for one in handles[:2]] == [pytest.approx(colour(0)), pytest.approx(colour(2))]


def test_probabilities_are_bars_and_the_true_class_stands_out() -> None:
    figure = predictions_figure(
        [grey(), grey()],
        [("truth", [1, np.int64(2)]), ("w8a8", [np.array([0.1, 0.7, 0.2]), np.array([0.6, 0.1, 0.3])])],
        "classification",
        CLASSES,
    )
    first, right, second, wrong = figure.axes
    assert (texts(first), texts(second)) == (["dog"], ["bird"])
    assert texts(right) == ["dog", "70.0%", "bird", "20.0%", "cat", "10.0%"]
    assert [bar.get_width() for bar in wrong.patches] == [0.6, 0.3, 0.1]
    assert to_rgb(right.patches[0].get_facecolor()) == to_rgb(wrong.patches[1].get_facecolor())
    assert to_rgb(right.patches[0].get_facecolor()) != to_rgb(wrong.patches[0].get_facecolor())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shape", [(8, 8, 1), (60, 80, 3), (500, 90, 3), (64, 900, 1)])
def test_pictures_of_every_kind_can_be_drawn(task: str, shape: tuple[int, int, int]) -> None:
    size = shape[:2]
    boxes = Instances.of(size, [[1, 1, 6, 6]], [0], masks=np.ones((1, *size), np.uint8))
    none = Instances.of(size, [], [], masks=np.zeros((0, *size), np.uint8))
    truth, prediction = {
        "classification": (1, np.ones(3, np.float32) / 3),
        "detection": (boxes, none),
        "instance_segmentation": (boxes, none),
        "semantic_segmentation": (np.full(size, 255, np.uint8), np.ones(size, np.uint8)),
        "custom": ("anything", (np.zeros((4, 4)), np.zeros(2))),
    }[task]
    figure = predictions_figure(
        [np.zeros(shape, np.uint8)] * 2, [("truth", [truth] * 2), ("w8a8", [prediction] * 2)], task, CLASSES
    )
    assert min(Image.open(io.BytesIO(png(figure, 40))).size) > 10


def test_without_pictures_there_is_still_a_figure() -> None:
    assert png(predictions_figure([], [("truth", [])], "detection", CLASSES), 40)


def test_large_photographs_make_a_file_of_at_most_two_megabytes() -> None:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (40, 60, 3), np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((1800, 1200), Image.Resampling.BICUBIC)).astype(int)
    photo = np.clip(photo + generator.normal(0, 6, photo.shape), 0, 255).astype(np.uint8)
    found = Instances.of((1200, 1800), [[100, 100, 900, 800]], [0])
    figure = predictions_figure([photo] * 4, [(title, [found] * 4) for title in "abcd"], "detection", CLASSES)
    assert len(png(figure)) < 2_000_000


def test_the_first_colours_are_all_different() -> None:
    colours = np.array([colour(index) for index in range(28)])
    gaps = np.abs(colours[:, None] - colours[None]).max(2) + np.eye(28)
    assert gaps.min() > 0.05
    assert colour(28) == colour(0)
