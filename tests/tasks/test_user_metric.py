"""What a metric of the user's own gets, and what becomes of what it returns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_pipeline.core.annotations import Instances
from edge_pipeline.tasks.user_metric import LARGE, MetricError, UserMetric

Write = Callable[[str], str]


@pytest.fixture
def write_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """Return a function that writes a module of the user's with one function `score`, and gives the name of it."""

    def write(body: str) -> str:
        module = f"metrics_{abs(hash(request.node.name))}"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        (tmp_path / f"{module}.py").write_text(
            f"import numpy as np\n\n\ndef score(predictions, ground_truth):\n{lines}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        return f"{module}:score"

    return write


def arguments(*pairs: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return what a metric gets after these pictures."""
    seen: list[Any] = []

    def look(predictions: Any, ground_truth: Any) -> float:
        seen.extend((predictions, ground_truth))
        return 0.0

    metric = UserMetric(look)
    for pair in pairs:
        metric.add(*pair)
    metric.metrics()
    return seen[0], seen[1]


def returned(value: Any) -> dict[str, float]:
    def score(predictions: Any, ground_truth: Any) -> Any:
        return value

    return UserMetric(score).metrics()


def test_a_function_of_a_module_is_found_and_called(write_metric: Write) -> None:
    metric = UserMetric(write_metric("return float((predictions.argmax(1) == ground_truth).mean())"))
    for row, label in zip(np.eye(4, dtype=np.float32), (0, 1, 2, 0), strict=True):
        metric.add(row, label)
    assert metric.metrics() == {"score": 0.75}


def test_probabilities_and_labels_come_as_arrays() -> None:
    predictions, truth = arguments(*((np.full(3, index, np.float32), index) for index in range(4)))
    assert (predictions.shape, predictions.dtype) == ((4, 3), np.float32)
    assert truth.tolist() == [0, 1, 2, 3]
    assert truth.dtype == np.int64


def test_objects_come_in_lists() -> None:
    found = Instances.of((9, 9), [[0, 0, 5, 5]], [0])
    predictions, truth = arguments((found, found), (found, found))
    assert predictions == [found, found] == truth


def test_label_maps_of_one_size_are_stacked_and_others_are_not() -> None:
    small, other = np.ones((4, 5), np.uint8), np.ones((5, 4), np.uint8)
    predictions, truth = arguments((small, small), (small, other))
    assert predictions.shape == (2, 4, 5)
    assert [one.shape for one in truth] == [(4, 5), (5, 4)]


@pytest.mark.parametrize("side", [200, 300])
def test_large_arrays_come_from_a_file_as_they_were(side: int) -> None:
    maps = [np.random.default_rng(index).integers(0, 9, (side, 400), np.uint8) for index in range(5)]
    assert maps[0].nbytes > LARGE
    predictions, truth = arguments(*((one, one[: 180 + index]) for index, one in enumerate(maps)))
    assert isinstance(predictions, np.ndarray)
    assert np.array_equal(predictions, maps)
    assert isinstance(truth, list)
    assert all(np.array_equal(one, maps[index][: 180 + index]) for index, one in enumerate(truth))


def test_several_outputs_come_as_tuples_large_and_small() -> None:
    large, small = np.random.default_rng(0).normal(size=(3, 100, 200)), np.arange(3.0)
    predictions, truth = arguments(*(((large[index], small[index : index + 1]), "x") for index in range(3)))
    assert truth == ["x", "x", "x"]
    for index, (one, other) in enumerate(predictions):
        assert np.array_equal(one, large[index])
        assert other.tolist() == [index]


def test_large_and_small_pictures_stay_in_order() -> None:
    arrays = [np.full(size, index) for index, size in enumerate((10, 50_000, 10, 50_000))]
    predictions, _ = arguments(*((one, 0) for one in arrays))
    assert [(len(one), int(one[0])) for one in predictions] == [(10, 0), (50_000, 1), (10, 2), (50_000, 3)]


def test_a_metric_may_write_into_what_it_gets() -> None:
    def spoil(predictions: Any, ground_truth: Any) -> float:
        predictions -= 1
        return float(predictions.max())

    metric = UserMetric(spoil)
    metric.add(np.ones((300, 300), np.float32), 0)
    assert metric.metrics() == metric.metrics() == {"spoil": 0.0}


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor(0.5, requires_grad=True)],
)
def test_numbers_of_all_kinds_are_taken(value: Any) -> None:
    assert returned(value) == {"score": 0.5}
    assert returned({"a": value, "b": 2, "c": np.int64(3)}) == {"a": 0.5, "b": 2.0, "c": 3.0}
    assert all(type(number) is float for number in returned({"a": value, "c": np.int64(3)}).values())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, r"it returned NoneType \(is a `return` missing\?\); expected is a number, or a dictionary of numbers"),
        ("0.5", "it returned str; expected is a number"),
        ([0.5], "it returned list; expected is a number"),
        (np.array([0.5, 0.6]), r"it returned ndarray of shape \(2,\); expected is a number"),
        (torch.ones(2, 3), r"it returned Tensor of shape \(2, 3\)"),
        (True, "it returned bool"),
        (np.bool_(True), "it returned bool"),
        (1j, "it returned complex"),
        (float("nan"), "it returned nan, not a finite number"),
        (np.float32("inf"), "it returned inf, not a finite number"),
        ({}, "returned an empty dictionary"),
        ({1: 0.5}, "returned a dictionary with the key 1, not a name"),
        ({"": 0.5}, "returned a dictionary with the key '', not a name"),
        ({"f1": None}, "'f1' is NoneType"),
        ({"f1": float("nan")}, "'f1' is nan"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        returned(value)


@pytest.mark.parametrize("value", [0.5, {"top1": 1, "score": 0.5}])
def test_a_name_of_the_tasks_own_metrics_is_refused(value: Any) -> None:
    def score(predictions: Any, ground_truth: Any) -> Any:
        return value

    with pytest.raises(MetricError, match="returned 'score', which is the name of a metric of the task"):
        UserMetric(score).metrics(taken=("accuracy", "score"))
    assert UserMetric(score).metrics(taken=("accuracy",))["score"] == 0.5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("n = 0\nreturn 1 / n", r"failed: ZeroDivisionError: division by zero \(.*\.py, line 6, in score\)"),
        ("n = 0\nreturn np.linalg.inv(np.zeros((2, 2)))", r"LinAlgError: Singular matrix \(.*\.py, line 6, in score\)"),
        ("raise SystemExit(0)", r"failed: SystemExit: 0 \(.*\.py, line 5, in score\)"),
    ],
)
def test_an_error_tells_its_kind_and_the_line_of_the_users_file(write_metric: Write, body: str, message: str) -> None:
    name = write_metric(body)
    with pytest.raises(MetricError, match=message) as caught:
        UserMetric(name).metrics()
    assert f"the metric '{name}'" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_function_that_takes_other_arguments_is_refused_before_the_run() -> None:
    with pytest.raises(MetricError, match=r"must take two arguments \(predictions, ground_truth\): missing a required"):
        UserMetric(lambda predictions, ground_truth, extra: 0)


def test_a_name_that_leads_nowhere_is_refused(write_metric: Write) -> None:
    module = write_metric("return 1.0").partition(":")[0]
    with pytest.raises(MetricError, match="no 'scor'; did you mean 'score'"):
        UserMetric(f"{module}:scor")


def test_functions_without_a_usable_name_give_a_usable_one() -> None:
    assert UserMetric(lambda predictions, ground_truth: 0.5).metrics() == {"metric": 0.5}
    assert UserMetric(max).name == "max"
