"""An activation that the quantizer after it implies goes, bit by bit the same; any other stays."""

from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.numerics import IDENTICAL_DB
from edge_pipeline.core.types import Precision

TAIL = "q = QuantizeLinear(b, s, z) y = DequantizeLinear(q, s, z)"


def before_a_quantizer(model: Any, activation: str, scale: float, zero: Any, middle: str = "b = Identity(a)") -> Any:
    size = "4,4" if "Pool" in middle else "8,8"
    text = f"(float[1,2,8,8] x) => (float[1,2,{size}] y) {{ h = Neg(x) a = {activation} {middle} {TAIL} }}"
    constants = {"s": np.float32(scale), "z": zero, "low": np.float32(0), "high": np.float32(6)}
    constants["shape"] = np.int64([1, 2, 8, 8])
    return model(text, {name: value for name, value in constants.items() if name in text})


RELU, CLIP = "Relu(h)", "Clip(h, low, high)"


@pytest.mark.parametrize(
    ("activation", "scale", "zero"),
    [
        (RELU, 0.02, np.uint8(0)),
        (RELU, 0.02, np.int8(-128)),
        (CLIP, 6 / 255, np.uint8(0)),
        (CLIP, 0.01, np.uint8(0)),
        (CLIP, 6 / 255, np.int8(-128)),
    ],
)
@pytest.mark.parametrize("middle", ["b = Identity(a)", "b = MaxPool<kernel_shape=[2,2], strides=[2,2]>(a)"])
def test_it_goes_where_it_is_implied(
    model: Any, run_passes: Any, activation: str, scale: float, zero: Any, middle: str
) -> None:
    made = before_a_quantizer(model, activation, scale, zero, middle)
    done = run_passes(made, "dead_code", "implied_activations", precision=Precision.W8A8)
    assert not {"Relu", "Clip"} & set(done.kinds)
    assert done.reports[1].sqnr_db == IDENTICAL_DB


@pytest.mark.parametrize(
    ("activation", "scale", "zero"),
    [
        (RELU, 0.02, np.uint8(128)),
        (RELU, 0.02, np.uint8(1)),
        (CLIP, 7 / 255, np.uint8(0)),
        (CLIP, 6 / 255, np.uint8(3)),
    ],
)
def test_it_stays_where_it_does_something(
    model: Any, run_passes: Any, activation: str, scale: float, zero: Any
) -> None:
    made = before_a_quantizer(model, activation, scale, zero, "b = Reshape(a, shape)")
    assert run_passes(made, "implied_activations").report.changes == ()


def test_16_bits(model: Any, run_passes: Any) -> None:
    text = f"(float[1,8] x) => (float[1,8] y) {{ b = Relu(x) {TAIL} }}"
    done = run_passes(model(text, {"s": np.float32(1e-4), "z": np.uint16(0)}, 21), "implied_activations")
    assert done.kinds == ["QuantizeLinear", "DequantizeLinear"]


def test_it_stays_where_something_else_reads_it(model: Any, run_passes: Any) -> None:
    text = f"(float[1,8] x) => (float[1,8] y, float[1,8] v) {{ b = Relu(x) {TAIL} v = Neg(b) }}"
    done = run_passes(model(text, {"s": np.float32(0.02), "z": np.uint8(0)}), "implied_activations")
    assert done.report.changes == ()


def test_it_stays_where_it_is_an_output(model: Any, run_passes: Any) -> None:
    text = f"(float[1,8] x) => (float[1,8] y, float[1,8] b) {{ b = Relu(x) {TAIL} }}"
    done = run_passes(model(text, {"s": np.float32(0.02), "z": np.uint8(0)}), "implied_activations")
    assert done.report.changes == ()


def test_bounds_that_are_quantized_are_read(model: Any, run_passes: Any) -> None:
    text = f"""(float[1,8] x) => (float[1,8] y) {{ low = DequantizeLinear(l, s, z) high = DequantizeLinear(h, s, z)
        b = Clip(x, low, high) {TAIL} }}"""
    constants = {"l": np.uint8(0), "h": np.uint8(255), "s": np.float32(6 / 255), "z": np.uint8(0)}
    done = run_passes(model(text, constants), "implied_activations")
    assert "Clip" not in done.kinds


def test_the_quantizer_before_counts_too(model: Any, run_passes: Any) -> None:
    text = """(float[1,8] x) => (float[1,8] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) a = Relu(d) y = Neg(a) }"""
    done = run_passes(model(text, {"s": np.float32(0.02), "z": np.uint8(0)}), "implied_activations")
    assert "Relu" not in done.kinds
