import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_pipeline.core.types import Failure, Precision, Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.figure import MARKERS, comparison_figure
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.table import comparison_table

Results = Callable[..., TargetResults]


def rows(spec: ModelSpec, *found: TargetResults) -> list[dict[str, Any]]:
    return comparison_table(found, spec).to_dict("records")


def test_a_line_has_the_numbers_of_profile_and_validation(spec: ModelSpec, results: Results) -> None:
    (one,) = rows(spec, results("board", kind="ssh", accuracy=0.75, energy_mj=3.0, accuracy_low=0.6))
    assert (one["target"], one["device_kind"], one["status"]) == ("digits@board/onnx/w8a8", "ssh", "ok")
    assert (one["accuracy"], one["energy_mj"], one["accuracy_low"], one["dataset"]) == (0.75, 3.0, 0.6, "digits")
    assert one["accuracy_high"] is None
    assert one["npu_layers_pct"] is None


def test_the_users_own_metrics_have_columns(spec: ModelSpec, results: Results) -> None:
    found = results(cost=7.0)
    profile, validation = found.results
    validation = replace(validation, details={**validation.details, "own_metrics": ["cost"]})
    first, second = rows(spec, replace(found, results=(profile, validation)), replace(results("b"), results=()))
    assert (first["cost"], second["cost"]) == (7.0, None)


def test_every_device_has_a_front_of_its_own(spec: ModelSpec, results: Results) -> None:
    slow, fast = {"accuracy": 0.9, "latency_p50_ms": 9.0}, {"accuracy": 0.95, "latency_p50_ms": 1.0}
    found = [results("a", Precision.FLOAT, **slow), results("a", **fast), results("b", **slow)]
    assert [one["pareto"] for one in rows(spec, *found)] == [False, True, True]


def test_what_failed_and_what_is_outdated_are_told(spec: ModelSpec, results: Results) -> None:
    target = Target("digits", "gone", results().target.runtime, Precision.W8A8)
    failed = TargetResults(target, "ssh", (Failure("compile", target.name, "it broke"),), None, ("profile: outdated",))
    (one,) = rows(spec, failed)
    assert one["status"] == "compile failed: it broke; profile: outdated"
    assert (one["accuracy"], one["pareto"]) == (None, False)


def test_a_number_that_is_not_finite_is_missing(spec: ModelSpec, results: Results) -> None:
    for number in (np.nan, np.inf):
        (one,) = rows(spec, results(energy_mj=number))
        assert one["energy_mj"] is None


def test_the_figure_shows_every_kind_of_device_and_the_front(spec: ModelSpec, results: Results) -> None:
    found = [
        results("a", Precision.FLOAT, latency_p50_ms=9.0, accuracy=0.9),
        results("a", latency_p50_ms=1.0, accuracy=0.95),
        results("b", kind="ssh", latency_p50_ms=400.0, accuracy=0.8),
    ]
    figure = comparison_figure(comparison_table(found, spec))
    assert figure is not None
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {"onnx/float", "onnx/w8a8"}
    assert axes.get_xscale() == "log"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a (host)", "b (ssh)", "not on the Pareto front"]
    of_a = axes.collections[0]
    assert len(of_a.get_facecolors()) == 2
    assert [face[3] for face in of_a.get_facecolors()] == [0, 1]  # only the second is filled
    assert len({*MARKERS.values()}) == len(MARKERS)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    with Image.open(buffer) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


@pytest.mark.parametrize("missing", ["accuracy", "latency_p50_ms"])
def test_without_both_numbers_there_is_no_figure(spec: ModelSpec, results: Results, missing: str) -> None:
    table = comparison_table([results()], spec)
    assert comparison_figure(table) is not None
    table[missing] = None
    assert comparison_figure(table) is None
