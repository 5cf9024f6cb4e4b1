"""What a target must reach, or the run fails."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.types import Layer, Precision, Profile, RuntimeName, Target
from edge_pipeline.models.spec import Require, Targets
from edge_pipeline.pipelines.gates import unmet
from edge_pipeline.pipelines.scorecard.nodes import row

BINARY = RuntimeName.QNN_CONTEXT_BINARY
TARGET = Target("digits", "npu", RuntimeName.PRECOMPILED_QNN_ONNX, Precision.W8A8)


@pytest.fixture
def placed(make_profile: Callable[..., Profile]) -> Callable[..., Profile]:
    """Return a function that makes a profile with so many layers on the NPU and on the CPU."""

    def make(npu: int, cpu: int) -> Profile:
        layers = [Layer(f"conv{index}", "Conv", "npu") for index in range(npu)]
        layers += [Layer(f"erf{index}", "Erf", "cpu") for index in range(cpu)]
        share = {"npu_layers_pct": 100 * npu / len(layers)} if layers else {}
        return replace(make_profile(TARGET), metrics=share, layers=tuple(layers), repeats=())

    return make


@pytest.mark.parametrize(("given", "expected"), [("100%", 100.0), ("99.5 %", 99.5), (90, 90.0), (0, 0.0), (None, None)])
def test_a_share_is_a_number_or_a_percentage(given: Any, expected: float | None) -> None:
    assert Targets(require={"npu_layers": given}).require.npu_layers == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("abc", "a share in percent is meant, `abc%`"),
        ("90", "a share in percent is meant, `90%`"),
        ("abc%", "valid number"),
        ("120%", "less than or equal to 100"),
        (-1, "greater than or equal to 0"),
    ],
)
def test_anything_else_is_refused_saying_what_is_meant(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Require(npu_layers=given)


def test_an_unknown_requirement_is_refused() -> None:
    with pytest.raises(ValidationError):
        Require.model_validate({"npu_layer": "100%"})


@pytest.mark.parametrize(("npu", "cpu", "required"), [(10, 0, "100%"), (9, 1, "90%"), (9, 1, None)])
def test_a_share_that_is_reached_is_nothing_to_tell(placed: Any, npu: int, cpu: int, required: str | None) -> None:
    assert unmet(placed(npu, cpu), BINARY, Require(npu_layers=required)) == ""


def test_a_share_that_is_not_reached_is_told_with_the_layers(placed: Any) -> None:
    assert unmet(placed(9, 1), BINARY, Require(npu_layers="100%")) == (
        "100% of the layers must be on the NPU, 90.0% are; not erf0 (Erf)"
    )
    assert unmet(placed(3, 7), BINARY, Require(npu_layers="50%")).endswith("erf4 (Erf) and 2 more")


def test_where_nobody_knows_where_the_layers_run_the_share_is_not_reached(placed: Any) -> None:
    assert "nobody knows" in unmet(placed(0, 0), BINARY, Require(npu_layers="1%"))


@pytest.mark.parametrize("engine", [RuntimeName.ONNX, RuntimeName.TFLITE])
def test_runtimes_that_use_no_npu_need_not_reach_it(placed: Any, engine: RuntimeName) -> None:
    assert unmet(placed(0, 5), engine, Require(npu_layers="100%")) == ""


def test_the_scorecard_marks_a_target_that_does_not_reach_it(placed: Any) -> None:
    found = row(TARGET, [placed(9, 1)], require=Require(npu_layers="100%"))
    assert found["status"].startswith("a requirement is not met: 100% of the layers must be on the NPU")
    assert row(TARGET, [placed(9, 1)])["status"] == "ok"
