"""Passes run in the order wanted, each checked, and undone where it does harm."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.numerics import IDENTICAL_DB
from edge_pipeline.core.types import Precision
from edge_pipeline.runtimes.passes import base
from edge_pipeline.runtimes.passes.base import PASSES, Pass, check_names, optimize

TEXT = "(float[1,4] x) => (float[1,4] y) { a = Relu(x) b = Identity(a) unused = Sqrt(a) y = Mul(b, two) }"


@pytest.fixture
def tiny(model: Any) -> onnx.ModelProto:
    return model(TEXT, {"two": np.float32([2, 3, 4, 5])})


def with_pass(monkeypatch: pytest.MonkeyPatch, apply: Any, exact: bool = False) -> None:
    wrong = Pass("wrong", "do harm", lambda goal: True, apply, exact)
    monkeypatch.setattr(base, "PASSES", {"wrong": wrong, **PASSES})


def scale_constant(by: float) -> Any:
    def apply(model: onnx.ModelProto, goal: Any) -> list[str]:
        (constant,) = model.graph.initializer
        values = onnx.numpy_helper.to_array(constant) * np.float32(by)
        constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
        return ["numbers changed"]

    return apply


def test_every_pass_has_a_name_and_a_purpose() -> None:
    assert all(name == one.name and one.purpose for name, one in PASSES.items())


def test_they_run_in_the_order_given(tiny: Any, run_passes: Any) -> None:
    names = ["dead_code", "constant_folding", "dead_code"]
    assert [one.name for one in run_passes(tiny, *names).reports] == names


def test_none_run_if_the_list_is_empty(tiny: Any, goal: Any) -> None:
    data = tiny.SerializeToString()
    assert optimize(data, [np.zeros((1, 4), np.float32)], goal(), []) == (data, [])


@pytest.mark.parametrize(
    ("hexagon", "precision", "absent"),
    [
        (None, Precision.FLOAT, {"layer_decomposition", "implied_activations", "int32_biases"}),
        ("v73", Precision.FLOAT, {"implied_activations", "int32_biases"}),
        ("v73", Precision.W8A8, {"graph_fusion"}),
        (None, Precision.W8A8, {"graph_fusion", "layer_decomposition"}),
    ],
)
def test_those_wanted_for_the_goal_run_by_default(
    tiny: Any, run_passes: Any, hexagon: str | None, precision: Precision, absent: set[str]
) -> None:
    done = run_passes(tiny, hexagon=hexagon, precision=precision)
    assert [one.name for one in done.reports] == [name for name in PASSES if name not in absent]


def test_an_unknown_name_is_answered_with_the_closest(tiny: Any, goal: Any) -> None:
    (problem,) = check_names(["dead_code", "ded_code"])
    assert problem == "there is no pass 'ded_code': did you mean 'dead_code'?"
    with pytest.raises(ConfigError, match="did you mean 'dead_code'"):
        optimize(tiny.SerializeToString(), [np.zeros((1, 4), np.float32)], goal(), ["ded_code"])


def test_a_report_counts(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,4,1,1] y) {
        a = Conv<pads=[1,1,1,1]>(x, w) unused = Conv(x, w) b = Relu(a) y = GlobalAveragePool(b) }"""
    done = run_passes(model(text, {"w": numbers(4, 3, 3, 3)}), "dead_code")
    assert (done.report.nodes_before, done.report.nodes_after) == (4, 3)
    assert done.report.multiply_adds_before == 4 * 27 * (64 + 36)
    assert done.report.multiply_adds_after == 4 * 27 * 64
    assert done.report.sqnr_db == IDENTICAL_DB
    assert done.report.seconds > 0


def test_a_model_with_nothing_to_change_keeps_its_bytes(model: Any, goal: Any) -> None:
    data = model("(float[1,4] x) => (float[1,4] y) { y = Relu(x) }").SerializeToString()
    found, reports = optimize(data, [np.ones((2, 4), np.float32)], goal())
    assert found == data
    assert all(one.changes == () and one.sqnr_db is None and one.note == "" for one in reports)


def test_a_pass_that_changes_numbers_is_undone(monkeypatch: Any, tiny: Any, run_passes: Any) -> None:
    with_pass(monkeypatch, scale_constant(1.01))
    done = run_passes(tiny, "wrong", "dead_code")
    wrong, right = done.reports
    assert wrong.changes == () and wrong.nodes_after == wrong.nodes_before
    assert wrong.sqnr_db == pytest.approx(40, abs=0.1)
    assert wrong.note == "undone: outputs agree at 40.0 dB, less than 80 dB"
    assert right.changes
    assert np.array_equal(done.constants["two"], [2, 3, 4, 5])


def test_rounding_is_let_through_unless_equal_outputs_are_promised(
    monkeypatch: Any, tiny: Any, run_passes: Any
) -> None:
    with_pass(monkeypatch, scale_constant(1 + 2e-7))
    assert run_passes(tiny, "wrong").report.changes == ("numbers changed",)
    with_pass(monkeypatch, scale_constant(1 + 2e-7), exact=True)
    report = run_passes(tiny, "wrong").report
    assert report.changes == ()
    assert report.note.startswith("undone: outputs should be equal")


def unsorted(model: onnx.ModelProto, goal: Any) -> list[str]:
    model.graph.node.reverse()
    return ["order"]


def renamed(model: onnx.ModelProto, goal: Any) -> list[str]:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "other"
    return ["name"]


def upgraded(model: onnx.ModelProto, goal: Any) -> list[str]:
    model.opset_import[0].version = 18
    return ["opset"]


def crashing(model: onnx.ModelProto, goal: Any) -> list[str]:
    del model.graph.node[:]
    raise RuntimeError("no way")


@pytest.mark.parametrize(
    ("apply", "why"),
    [
        (unsorted, "undone: the model is not valid"),
        (renamed, "undone: inputs, outputs or opsets of the model would change"),
        (upgraded, "undone: inputs, outputs or opsets of the model would change"),
        (crashing, "undone: it failed with RuntimeError: no way"),
    ],
)
def test_a_pass_that_breaks_the_model_is_undone(
    monkeypatch: Any, tiny: Any, run_passes: Any, apply: Any, why: str
) -> None:
    with_pass(monkeypatch, apply)
    done = run_passes(tiny, "wrong")
    assert done.report.note.startswith(why)
    assert done.report.changes == ()
    assert done.after == done.before


def test_a_model_that_cannot_be_checked_is_returned_as_it_is(model: Any, goal: Any) -> None:
    made = model("(float[1,4] x) => (float[1,4] y) { a = Identity(x) y = Relu(a) }")
    made.graph.node[1].op_type = "Unheard"
    data, reports = optimize(made.SerializeToString(), [np.ones((1, 4), np.float32)], goal(), ["dead_code"])
    assert data == made.SerializeToString()
    assert reports[0].note.startswith("not checked, so not run")


def test_a_size_that_becomes_known_is_no_change_of_the_interface(model: Any, run_passes: Any) -> None:
    text = """(float[1,2,4] x) => (float[1,n] y) {
        s = Shape(x) b = Slice(s, zero, one) t = Concat<axis=0>(b, rest) y = Reshape(x, t) }"""
    constants = {"zero": np.int64([0]), "one": np.int64([1]), "rest": np.int64([-1])}
    done = run_passes(model(text, constants), "constant_folding")
    assert done.kinds == ["Reshape"], done.report.note


def test_samples_have_to_fit_the_inputs(tiny: Any, goal: Any) -> None:
    for inputs in ([], [np.zeros((0, 4), np.float32)]):
        with pytest.raises(ValueError, match="one array is needed"):
            optimize(tiny.SerializeToString(), inputs, goal())


def test_reports_can_be_compared_and_kept(tiny: Any, run_passes: Any) -> None:
    kept = dataclasses.asdict(run_passes(tiny, "dead_code").report)
    assert set(kept) >= {"name", "changes", "sqnr_db", "note"}
