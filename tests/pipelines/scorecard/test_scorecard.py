from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.models.spec import ClassifierSpec
from edge_pipeline.pipelines.scorecard.nodes import add_comparisons, row, scorecard

FLOAT = Target("digits", "host", RuntimeName.ONNX, Precision.FLOAT)
W8A8 = Target("digits", "host", RuntimeName.ONNX, Precision.W8A8)
SPEC = ClassifierSpec(recipe="classifier")
WEIGHTS = Artifact("weights", {"weights.pt": b"1"})

MakeProfile = Callable[..., Profile]
MakeValidation = Callable[..., Validation]


@pytest.fixture
def measured(make_profile: MakeProfile, make_validation: MakeValidation) -> Callable[..., tuple[Profile, Validation]]:
    """Return a function that makes both results of a target from the present weights."""

    def make(target: Target, accuracy: float, latency: float = 1.0, memory: float = 50.0) -> tuple[Profile, Validation]:
        profile = make_profile(target, WEIGHTS.hash, latency_p50_ms=latency, peak_memory_mb=memory)
        return profile, make_validation(target, WEIGHTS.hash, accuracy=accuracy)

    return make


def table(*results: Any, targets: tuple[Target, ...] = (FLOAT, W8A8), weights: Any = WEIGHTS) -> list[dict[str, Any]]:
    found, *_ = scorecard(weights, *results, spec=SPEC, targets=targets)
    return found.astype(object).where(found.notna(), None).to_dict("records")


def test_a_row_says_which_target_and_what_was_measured(
    make_profile: MakeProfile, make_validation: MakeValidation
) -> None:
    found = row(W8A8, [make_profile(W8A8, latency_p50_ms=3.0, extra=1.0), make_validation(W8A8, accuracy=0.75)])
    assert {key: found[key] for key in ("target", "device", "runtime", "precision")} == {
        "target": "digits@host/onnx/w8a8",
        "device": "host",
        "runtime": "onnx",
        "precision": "w8a8",
    }
    assert (found["latency_p50_ms"], found["accuracy"], found["status"]) == (3.0, 0.75, "ok")
    assert "extra" not in found


def test_a_row_shows_the_warnings_of_the_profile(make_profile: MakeProfile) -> None:
    profile = replace(make_profile(W8A8), warnings=("noisy", "busy"))
    assert row(W8A8, [profile])["warnings"] == "noisy; busy"


def test_a_failed_target_says_where_and_why_once() -> None:
    failure = Failure("compile", W8A8.name, "it broke")
    assert row(W8A8, [failure, failure])["status"] == "compile failed: it broke"


def test_a_failed_stage_does_not_hide_the_result_of_the_other(make_validation: MakeValidation) -> None:
    found = row(W8A8, [Failure("profile", W8A8.name, "too slow"), make_validation(W8A8)])
    assert (found["accuracy"], found["status"]) == (0.9, "profile failed: too slow")


def test_the_table_has_a_line_for_each_target_in_order_and_missing_numbers_are_missing(
    measured: Callable[..., Any],
) -> None:
    found = table(*measured(FLOAT, 0.9), *measured(W8A8, 0.8))
    assert [one["target"] for one in found] == [FLOAT.name, W8A8.name]
    assert found[0]["energy_mj"] is None


def test_accuracy_is_compared_with_float_on_the_same_device_and_runtime(measured: Callable[..., Any]) -> None:
    other = replace(W8A8, runtime=RuntimeName.TFLITE)
    found = table(*measured(FLOAT, 0.9), *measured(W8A8, 0.8), *measured(other, 0.7), targets=(FLOAT, W8A8, other))
    assert [one["accuracy_vs_float"] for one in found] == [0.0, pytest.approx(-0.1), None]


@pytest.mark.parametrize(
    ("second", "front"),
    [
        ((0.8, 2.0, 60.0), [True, False]),
        ((0.8, 0.5, 60.0), [True, True]),
        ((0.95, 2.0, 60.0), [True, True]),
        ((0.8, 2.0, 40.0), [True, True]),
        ((0.9, 1.0, 50.0), [True, True]),
        ((0.9, 1.0, 60.0), [True, False]),
        ((0.95, 0.5, 40.0), [False, True]),
    ],
    ids=["worse", "faster", "better", "smaller", "equal", "only larger", "better in all"],
)
def test_a_target_that_another_beats_is_not_on_the_front(
    measured: Callable[..., Any], second: tuple[float, float, float], front: list[bool]
) -> None:
    found = table(*measured(FLOAT, 0.9, 1.0, 50.0), *measured(W8A8, *second))
    assert [one["pareto"] for one in found] == front


def test_each_device_has_a_front_of_its_own(measured: Callable[..., Any]) -> None:
    slow = replace(W8A8, device="board")
    found = table(*measured(FLOAT, 0.9, 1.0), *measured(slow, 0.8, 100.0), targets=(FLOAT, slow))
    assert [one["pareto"] for one in found] == [True, True]


def test_a_target_without_all_three_numbers_is_not_on_the_front_and_beats_nobody(measured: Callable[..., Any]) -> None:
    profile, _ = measured(FLOAT, 0.99, 0.1, 1.0)
    found = table(profile, None, *measured(W8A8, 0.8))
    assert [one["pareto"] for one in found] == [False, True]


def test_results_of_other_weights_are_left_out(
    measured: Callable[..., Any], make_profile: MakeProfile, make_validation: MakeValidation
) -> None:
    stale = make_profile(FLOAT, "older"), make_validation(FLOAT, "older")
    found = table(*stale, *measured(W8A8, 0.8))
    assert [one["target"] for one in found] == [W8A8.name]


def test_one_stale_result_does_not_hide_the_other(
    measured: Callable[..., Any], make_validation: MakeValidation
) -> None:
    profile, _ = measured(FLOAT, 0.9)
    (found,) = table(profile, make_validation(FLOAT, "older"), None, None)
    assert (found["latency_p50_ms"], found["accuracy"]) == (1.0, None)


def test_a_target_that_was_never_run_has_no_line(measured: Callable[..., Any]) -> None:
    assert [one["target"] for one in table(None, None, *measured(W8A8, 0.8))] == [W8A8.name]


def test_without_weights_every_target_shows_the_failure(measured: Callable[..., Any]) -> None:
    failure = Failure("finetune", "digits", "the loss became nan")
    found = table(*measured(FLOAT, 0.9), failure, failure, weights=failure)
    assert [one["status"] for one in found] == ["finetune failed: the loss became nan"] * 2
    assert [one["accuracy"] for one in found] == [None, None]


def test_nothing_at_all_gives_a_table_with_columns_and_no_line() -> None:
    found, *_ = scorecard(WEIGHTS, None, None, spec=SPEC, targets=(FLOAT,))
    assert len(found) == 0
    assert {"target", "accuracy", "pareto", "status"} <= set(found.columns)


def test_comparisons_of_no_rows_are_none() -> None:
    rows: list[dict[str, Any]] = []
    add_comparisons(rows)
    assert rows == []


def test_the_metrics_of_the_task_and_of_the_user_have_columns(make_validation: MakeValidation) -> None:
    spec = SPEC.model_copy(update={"task": "detection"})
    validation = make_validation(FLOAT, WEIGHTS.hash, map50=0.5, map75=0.3, cost=7.0)
    classes = {name: {"objects": 1, "predictions": 1, "ap": 0.1, "ap50": 0.2} for name in validation.classes}
    details = {"samples": 3, "classes": classes, "own_metrics": ["cost"]}
    validation = replace(validation, task="detection", details=details)
    found, *_ = scorecard(WEIGHTS, None, validation, spec=spec, targets=(FLOAT,))
    assert (found["map50"][0], found["cost"][0]) == (0.5, 7.0)
    assert "map75" not in found


def test_the_table_says_whether_the_images_were_generated(measured: Callable[..., Any]) -> None:
    generated = {"type": "aerial_scenes"}
    spec = ClassifierSpec(recipe="classifier", dataset=generated, image_shape=(3, 64, 64), classes=6)
    for one, expected in ((SPEC, "digits"), (spec, "aerial_scenes (generated)")):
        found, *_ = scorecard(WEIGHTS, *measured(FLOAT, 0.9), spec=one, targets=(FLOAT,))
        assert found["dataset"].tolist() == [expected]
