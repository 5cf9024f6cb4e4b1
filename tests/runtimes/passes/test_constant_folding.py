"""What does not depend on the input is computed once; quantized weights stay integers."""

from typing import Any

import numpy as np


def test_a_shape_that_is_known_becomes_a_constant(model: Any, run_passes: Any) -> None:
    text = """(float[1,2,3,4] x) => (float[1,24] y) {
        s = Shape(x) first = Gather<axis=0>(s, zero) row = Unsqueeze(first, axes) rest = Constant<value_ints=[-1]>()
        t = Concat<axis=0>(row, rest) y = Reshape(x, t) }"""
    done = run_passes(model(text, {"zero": np.int64(0), "axes": np.int64([0])}), "constant_folding")
    assert done.kinds == ["Reshape"]
    assert list(done.constants[done.made("Reshape").input[1]]) in ([1, -1], [1, 24])


def test_numbers_are_computed_with_their_type(model: Any, run_passes: Any, numbers: Any) -> None:
    text = "(float[1,4] x) => (float[1,3] y) { h = Mul(w, w) t = Transpose<perm=[1,0]>(h) y = MatMul(x, t) }"
    w = numbers(3, 4)
    done = run_passes(model(text, {"w": w}), "constant_folding")
    assert done.kinds == ["MatMul"]
    assert np.array_equal(done.constants[done.made("MatMul").input[1]], (w * w).T)


def test_a_large_tensor_of_one_number_is_not_stored(model: Any, run_passes: Any) -> None:
    text = "(float[1,64,64] x) => (float[1,64,64] y) { big = Expand(one, size) y = Add(x, big) }"
    done = run_passes(model(text, {"one": np.float32(1.5), "size": np.int64([1, 64, 64])}), "constant_folding")
    assert done.kinds == ["Expand", "Add"]


def test_quantized_weights_stay_integers(model: Any, run_passes: Any) -> None:
    text = """(float[1,3] x) => (float[1,3] y) {
        q = QuantizeLinear(w, s, z) d = DequantizeLinear(q, s, z) i = Identity(c) e = DequantizeLinear(i, s, z)
        a = MatMul(x, d) y = Add(a, e) }"""
    constants = {
        "w": np.float32([[1, -2, 3]] * 3),
        "s": np.float32(0.5),
        "z": np.int8(0),
        "c": np.int8([1, 2, 3]),
    }
    done = run_passes(model(text, constants), "constant_folding")
    assert sorted(done.kinds) == ["Add", "DequantizeLinear", "DequantizeLinear", "MatMul"]
    integers = [done.constants[node.input[0]] for node in done.after.graph.node if node.op_type == "DequantizeLinear"]
    assert all(one.dtype == np.int8 for one in integers)
    assert sorted(one.ravel()[0] for one in integers) == [1, 2]
