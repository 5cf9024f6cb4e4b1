"""Biases of integer layers become int32, with the scale of the input times that of the weight."""

from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Precision

INPUT = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)"
FORMS = {
    "float": "b = Identity(bias)",
    "uint8": "b = DequantizeLinear(bq, bs, bz)",
    "uint8 behind Identity": "i = Identity(bq) e = DequantizeLinear(i, bs, bz) b = Identity(e)",
    "quantized in the graph": "i = QuantizeLinear(bias, bs, bz) b = DequantizeLinear(i, bs, bz)",
    "int32 of another scale": "b = DequantizeLinear(bi, bs)",
}
BIAS = {"bias": np.float32([0.5, -1, 0.25, 0]), "bq": np.uint8([178, 28, 153, 128]), "bs": np.float32(0.01)}
BIAS |= {"bz": np.uint8(128), "bi": np.int32([50, -100, 25, 0])}


def constants_in(text: str, group: int = 1, rows: int = 4, columns: int = 3) -> dict[str, Any]:
    random = np.random.default_rng(0)
    found = {**BIAS, "s": np.float32(0.02), "z": np.uint8(128), "ws": np.float32([0.01, 0.02, 0.03, 0.04])}
    found |= {"wz": np.int8([0] * 4), "wq": random.integers(-127, 127, (rows, columns, 3, 3)).astype(np.int8)}
    words = text.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return {name: values for name, values in found.items() if name in words}


def parts(done: Any, kind: str) -> tuple[Any, Any, Any]:
    """Return integers, scale and zero point of the bias of the only layer of a kind."""
    makers = {node.output[0]: node for node in done.after.graph.node}
    dequantizer = makers[done.made(kind).input[2]]
    assert dequantizer.op_type == "DequantizeLinear"
    integers, scale, zero = (done.constants[name] for name in dequantizer.input)
    return integers, scale, zero


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_int32(model: Any, run_passes: Any, form: str) -> None:
    text = f"{INPUT} w = DequantizeLinear<axis=0>(wq, ws, wz) {FORMS[form]} y = Conv<pads=[1,1,1,1]>(d, w, b)"
    made = model(f"(float[1,3,6,6] x) => (float[1,4,6,6] y) {{ {text} }}", constants_in(text))
    done = run_passes(made, "int32_biases", precision=Precision.W8A8)
    integers, scale, zero = parts(done, "Conv")
    assert integers.dtype == zero.dtype == np.int32 and not zero.any()
    assert np.allclose(scale, 0.02 * np.float32([0.01, 0.02, 0.03, 0.04]), rtol=1e-6)
    assert np.array_equal(integers, np.rint(BIAS["bias"].astype(np.float64) / scale))
    assert {"QuantizeLinear": 1, "Conv": 1}.items() <= {kind: done.kinds.count(kind) for kind in done.kinds}.items()
    assert done.constants["wq"].dtype == np.int8
    assert done.report.sqnr_db > 60


def test_a_right_bias_is_left(model: Any, run_passes: Any) -> None:
    text = f"{INPUT} w = DequantizeLinear<axis=0>(wq, ws, wz) b = DequantizeLinear<axis=0>(bi, own) y = Conv(d, w, b)"
    constants = {**constants_in(text), "own": np.float32(0.02) * np.float32([0.01, 0.02, 0.03, 0.04])}
    done = run_passes(model(f"(float[1,3,6,6] x) => (float[1,4,4,4] y) {{ {text} }}", constants), "int32_biases")
    assert done.report.changes == ()


def test_layers_that_share_a_bias_get_one_each(model: Any, run_passes: Any) -> None:
    text = f"""{INPUT} w = DequantizeLinear<axis=0>(wq, ws, wz) b = DequantizeLinear(bq, bs, bz)
        h = Conv(d, w, b) g = Conv(d, w, b) y = Add(g, h)"""
    done = run_passes(
        model(f"(float[1,3,6,6] x) => (float[1,4,4,4] y) {{ {text} }}", constants_in(text)), "int32_biases"
    )
    assert len(done.report.changes) == 2
    assert len({node.input[2] for node in done.after.graph.node if node.op_type == "Conv"}) == 2


def test_a_transposed_convolution_of_groups(model: Any, run_passes: Any) -> None:
    text = f"{INPUT} w = DequantizeLinear<axis=1>(wq, ws, wz) y = ConvTranspose<group=2>(d, w, long)"
    constants = {**constants_in(text, rows=2, columns=4), "long": np.linspace(-1, 1, 8, dtype=np.float32)}
    done = run_passes(model(f"(float[1,2,4,4] x) => (float[1,8,6,6] y) {{ {text} }}", constants), "int32_biases")
    integers, scale, _ = parts(done, "ConvTranspose")
    assert integers.shape == scale.shape == (8,)


def test_a_linear_layer_with_one_scale_after_a_flatten(model: Any, run_passes: Any) -> None:
    text = f"{INPUT} f = Flatten(d) w = DequantizeLinear(m, ms) y = Gemm<transB=1>(f, w, bias)"
    constants = {**constants_in(text), "m": np.full((4, 12), 3, np.int8), "ms": np.float32(0.05)}
    done = run_passes(model(f"(float[1,3,2,2] x) => (float[1,4] y) {{ {text} }}", constants), "int32_biases")
    integers, scale, zero = parts(done, "Gemm")
    assert scale.shape == zero.shape == ()
    assert np.array_equal(integers, [500, -1000, 250, 0])


def test_a_bias_too_large_for_32_bits_is_left_and_named(model: Any, run_passes: Any) -> None:
    text = f"{INPUT} w = DequantizeLinear<axis=0>(wq, ws, wz) y = Conv(d, w, huge)"
    constants = {**constants_in(text), "huge": np.float32([1e9, 0, 0, 0])}
    done = run_passes(model(f"(float[1,3,6,6] x) => (float[1,4,4,4] y) {{ {text} }}", constants), "int32_biases")
    assert done.report.note == "left the bias of Conv_3: its integers would not fit into 32 bits"


def test_a_layer_on_floats_is_left(model: Any, run_passes: Any, numbers: Any) -> None:
    text = "(float[1,3,6,6] x) => (float[1,4,4,4] y) { y = Conv(x, w, bias) }"
    done = run_passes(model(text, {"w": numbers(4, 3, 3, 3), "bias": BIAS["bias"]}), "int32_biases")
    assert done.report.changes == ()
