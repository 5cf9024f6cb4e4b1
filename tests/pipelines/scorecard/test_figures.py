import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from edge_pipeline.core.types import Profile, Target, Validation
from edge_pipeline.pipelines.scorecard.figures import confusion_figure, latency_figure


def drawn(figure: Any) -> tuple[int, int]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return Image.open(buffer).size


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_one_confusion_matrix_for_each_target(
    make_validation: Callable[..., Validation], target: Target, count: int
) -> None:
    figure = confusion_figure([make_validation(target)] * count)
    assert len(figure.axes) == count
    assert min(drawn(figure)) > 0


def test_a_confusion_matrix_shows_its_counts_target_and_accuracy(
    make_validation: Callable[..., Validation], target: Target
) -> None:
    validation = replace(make_validation(target, accuracy=0.75), confusion=((5, 0), (2, 7)), samples=14)
    (axes,) = confusion_figure([validation]).axes
    assert sorted(text.get_text() for text in axes.texts) == ["2", "5", "7"]
    assert axes.get_title() == "digits@host/onnx/float\naccuracy 75.00% of 14"


def test_the_names_of_very_many_classes_are_left_out(
    make_validation: Callable[..., Validation], target: Target
) -> None:
    names = tuple(f"class{index}" for index in range(200))
    matrix = tuple(tuple(int(x == y) for x in range(200)) for y in range(200))
    (axes,) = confusion_figure([replace(make_validation(target), classes=names, confusion=matrix)]).axes
    assert not axes.texts


@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_is_one_histogram_for_each_target(
    make_profile: Callable[..., Profile], target: Target, count: int
) -> None:
    figure = latency_figure([make_profile(target)] * count)
    assert len(figure.axes) == count
    assert min(drawn(figure)) > 0


def test_a_histogram_names_its_target_and_both_repeats(make_profile: Callable[..., Profile], target: Target) -> None:
    (axes,) = latency_figure([make_profile(target, latency_p50_ms=1.25)]).axes
    assert axes.get_title(loc="left") == "digits@host/onnx/float  p50 1.25 ms"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["repeat 1", "repeat 2"]
