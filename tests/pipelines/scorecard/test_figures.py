import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from edge_pipeline.core.types import Profile, Target
from edge_pipeline.pipelines.scorecard.figures import latency_figure


def drawn(figure: Any) -> tuple[int, int]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return Image.open(buffer).size


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
