"""Transposes are cancelled against each other, also through other operators."""

from typing import Any

import numpy as np
import pytest

TO_LAST, TO_FIRST = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"


def test_transposes_in_a_row_become_one_or_none(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,3,4,5] x) => (float[1,3,4,5] y, float[1,5,3,4] z) {{
        a = {TO_LAST}(x) b = {TO_FIRST}(a) y = Relu(b) c = {TO_LAST}(b) d = {TO_LAST}(c) e = {TO_LAST}(d)
        f = Relu(e) z = {TO_FIRST}(f) }}"""
    done = run_passes(model(text), "transpose_removal")
    assert done.kinds.count("Transpose") == 1
    assert done.report.sqnr_db == 200


@pytest.mark.parametrize(
    ("inner", "constants"),
    [
        ("b = Relu(a)", {}),
        ("b = Clip(a, low, high)", {"low": np.float32(-1), "high": np.float32(1)}),
        ("b = Add(a, c)", {"c": np.float32([1, 2, 3])}),
        ("b = Mul(c, a)", {"c": np.arange(20, dtype=np.float32).reshape(4, 5, 1)}),
        ("h = Sigmoid(a) b = Mul(a, h)", {}),
        ("b = Softmax<axis=-1>(a)", {}),
        ("h = ReduceMean<axes=[1,2]>(a) b = Sub(a, h)", {}),
        ("h, i = Split<axis=3>(a, s) j = Neg(i) b = Concat<axis=-1>(h, j)", {"s": np.int64([1, 2])}),
        ("b = PRelu(a, c)", {"c": np.float32([0.1, 0.2, 0.3])}),
    ],
)
def test_they_cancel_through_other_operators(
    model: Any, run_passes: Any, inner: str, constants: dict[str, Any]
) -> None:
    text = f"(float[1,3,4,5] x) => (float[1,3,4,5] y) {{ a = {TO_LAST}(x) {inner} y = {TO_FIRST}(b) }}"
    done = run_passes(model(text, constants), "transpose_removal")
    assert "Transpose" not in done.kinds
    assert done.report.sqnr_db > 120
    assert done.after.graph.output[0].name == "y"


def test_pads_and_axes_of_reductions_as_inputs_follow(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,3,4,5] x) => (float[1,3,1,1] y) {{
        a = {TO_LAST}(x) b = Pad(a, pads) c = ReduceMax(b, axes) y = {TO_FIRST}(c) }}"""
    constants = {"pads": np.int64([0, 1, 2, 0, 0, 0, 1, 0]), "axes": np.int64([1, 2])}
    done = run_passes(model(text, constants, 18), "transpose_removal")
    assert done.kinds == ["Pad", "ReduceMax"]


def test_two_branches_need_one_transpose_after_their_sum(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,3,4,5] x, float[1,3,4,5] z) => (float[1,4,5,3] y) {{
        a = {TO_LAST}(x) b = {TO_LAST}(z) c = Relu(a) d = Add(c, b) y = Tanh(d) }}"""
    done = run_passes(model(text), "transpose_removal")
    assert done.kinds.count("Transpose") == 1
    assert [one.name for one in done.after.graph.output] == ["y"]


def test_what_another_layer_needs_is_transposed_for_it(model: Any, run_passes: Any, numbers: Any) -> None:
    text = f"""(float[1,3,4,5] x) => (float[1,3,4,5] y, float[1,3,4,5] z, float[1,4,5,2] u) {{
        a = {TO_LAST}(x) b = Relu(a) y = {TO_FIRST}(b) c = Neg(b) z = {TO_FIRST}(c) u = MatMul(b, w) }}"""
    done = run_passes(model(text, {"w": numbers(3, 2)}), "transpose_removal")
    assert done.kinds.count("Transpose") == 1


def test_nothing_moves_where_nothing_is_saved(model: Any, run_passes: Any, numbers: Any) -> None:
    text = f"(float[1,3,4,5] x) => (float[1,4,5,2] y) {{ a = {TO_LAST}(x) b = Relu(a) y = MatMul(b, w) }}"
    done = run_passes(model(text, {"w": numbers(3, 2)}), "transpose_removal")
    assert done.report.changes == ()


def test_an_input_that_comes_out_again_keeps_both_names(model: Any, run_passes: Any) -> None:
    text = f"(float[1,3,4,5] x) => (float[1,3,4,5] y) {{ a = {TO_LAST}(x) y = {TO_FIRST}(a) }}"
    done = run_passes(model(text), "transpose_removal")
    assert (done.after.graph.input[0].name, done.after.graph.output[0].name) == ("x", "y")


def quantized(inner: str, tail: str) -> str:
    return f"""(float[1,3,4,4] x) => (float[1,3,4,4] y) {{
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) a = {TO_LAST}(d)
        r = QuantizeLinear(a, s, z) b = DequantizeLinear(r, s, z) {inner}
        t = QuantizeLinear(c, s, z) e = DequantizeLinear(t, s, z) {tail} }}"""


QUANTIZER = {"s": np.float32(0.02), "z": np.uint8(128)}


def test_they_cancel_through_quantizers(model: Any, run_passes: Any) -> None:
    text = quantized("c = Sigmoid(b)", f"f = {TO_FIRST}(e) g = QuantizeLinear(f, s, z) y = DequantizeLinear(g, s, z)")
    done = run_passes(model(text, QUANTIZER), "transpose_removal")
    assert "Transpose" not in done.kinds
    assert done.kinds.count("QuantizeLinear") == 4
    assert done.report.sqnr_db == 200


def test_channels_of_quantizers_follow(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,3,4,4] x) => (float[1,3,4,4] y) {{ a = {TO_LAST}(x) q = QuantizeLinear<axis=3>(a, s, z)
        b = DequantizeLinear<axis=-1>(q, s, z) y = {TO_FIRST}(b) }}"""
    done = run_passes(model(text, {"s": np.float32([0.01, 0.02, 0.03]), "z": np.int8([0, 1, 2])}), "transpose_removal")
    assert "Transpose" not in done.kinds
    assert done.attribute("QuantizeLinear", "axis") == 1
    assert done.report.sqnr_db == 200


def test_in_a_quantized_model_none_is_put_between_a_layer_and_its_quantizer(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,3,4,4] x, float[1,3,4,4] v) => (float[1,4,4,3] y) {{
        a = {TO_LAST}(x) b = {TO_LAST}(v) q = QuantizeLinear(a, s, z) d = DequantizeLinear(q, s, z)
        r = QuantizeLinear(b, s, z) e = DequantizeLinear(r, s, z) y = Add(d, e) }}"""
    done = run_passes(model(text, QUANTIZER), "transpose_removal")
    assert done.report.changes == ()
