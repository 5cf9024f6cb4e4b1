"""A Pad becomes the pads of the convolution or pooling after it."""

from typing import Any

import numpy as np
import pytest

PADS = {"pads": np.int64([0, 0, 1, 2, 0, 0, 1, 0])}


def test_a_convolution_pads_itself(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,4,10,10] y) { a = Pad(x, pads) y = Conv<pads=[1,1,1,1]>(a, w) }"""
    done = run_passes(model(text, {**PADS, "w": numbers(4, 3, 3, 3)}), "pad_folding")
    assert done.kinds == ["Conv"]
    assert done.attribute("Conv", "pads") == [2, 3, 2, 1]
    assert done.report.changes == ("Pad_0 -> the pads of Conv_1",)


def test_axes_and_several_readers(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,4,8,8] y, float[1,3,9,9] z) {
        a = Pad(x, pads, zero, axes) y = Conv(a, w)
        z = AveragePool<kernel_shape=[2,2]>(a) }"""
    constants = {"pads": np.int64([1, 1, 1, 1]), "zero": np.float32(0), "axes": np.int64([-1, 2])}
    done = run_passes(model(text, {**constants, "w": numbers(4, 3, 3, 3)}, 18), "pad_folding")
    assert done.kinds == ["Conv", "AveragePool"]
    assert done.attribute("AveragePool", "count_include_pad") == 1


@pytest.mark.parametrize(
    ("before", "value", "folded"),
    [("Neg", -np.inf, True), ("Relu", 0.0, True), ("Neg", 0.0, False), ("Relu", 1.0, False)],
)
def test_a_maximum_takes_what_cannot_be_the_largest(
    model: Any, run_passes: Any, before: str, value: float, folded: bool
) -> None:
    text = f"""(float[1,3,8,8] x) => (float[1,3,8,8] y) {{
        b = {before}(x) a = Pad(b, pads, v) y = MaxPool<kernel_shape=[3,3]>(a) }}"""
    constants = {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "v": np.float32(value)}
    assert ("Pad" not in run_passes(model(text, constants), "pad_folding").kinds) == folded


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        ("{ a = Pad(x, pads, v) y = Conv(a, w) }", {"v": np.float32(1)}),
        ('{ a = Pad<mode="reflect">(x, pads) y = Conv(a, w) }', {}),
        ("{ a = Pad(x, pads) b = Relu(a) y = Conv(b, w) }", {}),
        ("{ a = Pad(x, crop) y = Conv<pads=[2,2,2,2]>(a, w) }", {"crop": np.int64([0, 0, -1, 0, 0, 0, -1, 0])}),
        ("{ a = Pad(x, more) y = Conv(a, u) }", {"more": np.int64([0, 1, 0, 0, 0, 0, 0, 0])}),
    ],
)
def test_other_pads_stay(model: Any, run_passes: Any, numbers: Any, text: str, constants: dict[str, Any]) -> None:
    sizes = {"crop": "8,10", "more": "6,6"}
    size = next((found for name, found in sizes.items() if name in constants), "8,8")
    used = {"w": numbers(4, 3, 3, 3), "u": numbers(4, 4, 3, 3), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}
    weights = {name: values for name, values in used.items() if f" {name})" in text or f" {name}," in text}
    made = model(f"(float[1,3,8,8] x) => (float[1,4,{size}] y) {text}", {**weights, **constants})
    assert run_passes(made, "pad_folding").report.changes == ()


def test_an_average_that_leaves_its_own_pads_out_is_not_given_more(model: Any, run_passes: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,3,10,10] y) {
        a = Pad(x, pads) y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(a) }"""
    made = model(text, {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])})
    assert run_passes(made, "pad_folding").report.changes == ()


QUANTIZED = """(float[1,3,8,8] x) => (float[1,4,8,8] y) {
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) p = Pad(d, pads)
    r = QuantizeLinear(p, t, u) e = DequantizeLinear(r, t, u) w = DequantizeLinear(wq, ws, wz) y = Conv(e, w) }"""


@pytest.mark.parametrize(("scale", "zero", "pairs"), [(0.02, 128, 1), (0.03, 128, 2), (0.02, 120, 2)])
def test_it_goes_through_quantizers(model: Any, run_passes: Any, scale: float, zero: int, pairs: int) -> None:
    constants = {"s": np.float32(0.02), "z": np.uint8(128), "t": np.float32(scale), "u": np.uint8(zero)}
    constants["wq"] = np.random.default_rng(0).integers(-127, 127, (4, 3, 3, 3)).astype(np.int8)
    constants |= {"ws": np.float32(0.01), "wz": np.int8(0), "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}
    done = run_passes(model(QUANTIZED, constants), "pad_folding")
    assert "Pad" not in done.kinds
    assert done.kinds.count("QuantizeLinear") == pairs
    assert done.report.sqnr_db > 120
