import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from edge_pipeline.core.types import Layer, Profile, Target
from edge_pipeline.pipelines.scorecard.figures import latency_figure, placement_figure, sustained_figure


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


def test_a_target_without_times_has_no_histogram(make_profile: Callable[..., Profile], target: Target) -> None:
    emulated = replace(make_profile(target), repeats=(), metrics={})
    assert len(latency_figure([make_profile(target), emulated]).axes) == 1
    assert latency_figure([emulated]).axes == []


def test_a_target_of_which_no_single_times_are_known_has_no_histogram(
    make_profile: Callable[..., Profile], target: Target
) -> None:
    whole = make_profile(target)
    told = replace(whole, repeats=tuple(replace(one, samples_ms=()) for one in whole.repeats), metrics={})
    assert len(latency_figure([whole, told]).axes) == 1


def rows(figure: Any) -> dict[str, list[float]]:
    """Return the shares in percent of each row, by its name, without the bars of the legend."""
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    bars = [bar for container in axes.containers for bar in container if bar.get_width()]
    return {
        name: [bar.get_width() for bar in bars if round(bar.get_y() + bar.get_height() / 2) == index]
        for index, name in enumerate(names)
    }


def test_the_placement_of_a_target_is_its_share_of_layers_and_of_time(
    make_profile: Callable[..., Profile], target: Target
) -> None:
    timed = (Layer("a", "Conv", "npu", 3.0), Layer("b", "Erf", "cpu", 1.0))
    untimed = (Layer("a", "Conv", "npu"),) * 3 + (Layer("b", "Erf", "cpu"),)
    figure = placement_figure([replace(make_profile(target), layers=layers) for layers in (timed, untimed)])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["npu", "cpu"]
    assert rows(figure) == {
        f"{target.name}, 2 layers": [50, 50],
        f"{target.name}, time": [75, 25],
        f"{target.name}, 4 layers": [75, 25],
    }
    assert min(drawn(figure)) > 0


@pytest.mark.parametrize("count", [0, 1])
def test_without_layers_the_placement_is_an_empty_figure(
    make_profile: Callable[..., Profile], target: Target, count: int
) -> None:
    figure = placement_figure([make_profile(target)] * count)
    assert rows(figure) == {}
    assert min(drawn(figure)) > 0


@pytest.mark.parametrize(("celsius", "panels"), [([40.0, None], 3), ([None, None], 2)])
def test_the_sustained_run_is_drawn_with_the_sensors_that_there_are(
    make_profile: Callable[..., Profile], target: Target, celsius: list[float | None], panels: int
) -> None:
    points = {"seconds": [1, 2], "p50_ms": [1.0, 1.5], "temperature_c": celsius, "frequency_mhz": [900.0, 800.0]}
    profile = make_profile(target)
    readings = {"sustained": {"points": points, "temperature": "cpu-thermal", "frequency": "policy0"}}
    first, last = profile.repeats
    figure = sustained_figure(replace(profile, repeats=(first, replace(last, readings=readings))))
    assert len(figure.axes) == panels
    assert figure.axes[-1].get_ylabel() == "policy0 (MHz)"
    assert min(drawn(figure)) > 0
