"""What nothing uses, what changes nothing, and copies go; the outputs of the model stay."""

from typing import Any

import numpy as np


def test_unused_nodes_and_constants_go(model: Any, run_passes: Any) -> None:
    text = "(float[1,4] x) => (float[1,4] y) { u = Mul(x, c) v = Sqrt(u) y = Relu(x) }"
    done = run_passes(model(text, {"c": np.float32(2), "d": np.float32(3)}), "dead_code")
    assert done.kinds == ["Relu"]
    assert not done.constants
    assert "Mul Mul_0 is not used" in done.report.changes


def test_what_changes_nothing_goes(model: Any, run_passes: Any) -> None:
    text = """(float[1,4] x) => (float[1,4] y) {
        a = Identity(x) b, mask = Dropout(a) c = Mul(b, one) d = Relu(c) e = Add(d, zero) y = Identity(e) }"""
    done = run_passes(model(text, {"one": np.float32(1), "zero": np.float32(0)}), "dead_code")
    assert done.kinds == ["Relu"]
    assert done.after.graph.output[0].name == "y"


def test_outputs_that_are_equal_both_stay(model: Any, run_passes: Any) -> None:
    text = "(float[1,4] x) => (float[1,4] y, float[1,4] z, float[1,4] u) { y = Relu(x) z = Relu(x) u = Identity(x) }"
    done = run_passes(model(text), "dead_code")
    assert [one.name for one in done.after.graph.output] == ["y", "z", "u"]
    assert done.kinds.count("Relu") == 1


def test_equal_constants_and_nodes_are_made_one(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,4] x) => (float[1,4] y) {
        a = MatMul(x, v) b = MatMul(x, w) c = Add(a, b) y = Relu(c) }"""
    weight = numbers(4, 4)
    done = run_passes(model(text, {"v": weight, "w": weight.copy()}), "dead_code")
    assert sorted(done.kinds) == ["Add", "MatMul", "Relu"]
    assert len(done.constants) == 1


def test_an_optional_output_that_nothing_reads_goes(model: Any, run_passes: Any) -> None:
    text = """(float[1,2,4,4] x) => (float[1,2,2,2] y) {
        y, indices = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) }"""
    done = run_passes(model(text), "dead_code")
    assert list(done.made("MaxPool").output) == ["y"]


def test_in_a_quantized_model_every_layer_keeps_its_quantizers(model: Any, run_passes: Any) -> None:
    text = """(float[1,4] x) => (float[1,4] y) {
        q = QuantizeLinear(x, s, z) a = DequantizeLinear(q, s, z) b = DequantizeLinear(q, s, z)
        c = Relu(a) d = Neg(b) y = Add(c, d) }"""
    done = run_passes(model(text, {"s": np.float32(0.1), "z": np.uint8(128)}), "dead_code")
    assert done.kinds.count("DequantizeLinear") == 2
