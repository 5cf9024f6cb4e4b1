"""What follows a layer becomes part of it; activations stand next to the layer."""

from typing import Any

import numpy as np
import pytest

BATCH_NORM = ("gamma", "beta", "mean")


def statistics(numbers: Any, channels: int) -> dict[str, Any]:
    return {**{name: numbers(channels) for name in BATCH_NORM}, "var": np.abs(numbers(channels)) + 0.5}


@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize(
    ("layer", "weight", "channels"),
    [
        ("Conv<pads=[1,1,1,1]>", (4, 6, 3, 3), 4),
        ("Conv<pads=[1,1,1,1], group=6>", (12, 1, 3, 3), 12),
        ("ConvTranspose<strides=[2,2]>", (6, 4, 2, 2), 4),
        ("ConvTranspose<strides=[2,2], group=3>", (6, 4, 2, 2), 12),
    ],
)
def test_a_batch_norm_goes_into_the_convolution(
    model: Any, run_passes: Any, numbers: Any, layer: str, weight: Any, channels: int, bias: str
) -> None:
    side = 8 if layer.startswith("Conv<") else 16
    text = f"""(float[1,6,8,8] x) => (float[1,{channels},{side},{side}] y) {{
        a = {layer}(x, w{bias}) y = BatchNormalization(a, gamma, beta, mean, var) }}"""
    constants = {"w": numbers(*weight), **statistics(numbers, channels), **({"b": numbers(channels)} if bias else {})}
    done = run_passes(model(text, constants), "graph_fusion")
    assert done.kinds == [layer.partition("<")[0]]
    assert done.report.sqnr_db > 100
    assert done.report.changes == (f"{layer.partition('<')[0]}_0 + BatchNormalization_1 -> {done.kinds[0]}_0",)
    assert done.after.graph.output[0].name == "y"


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_batch_norm_goes_into_the_linear_layer(model: Any, run_passes: Any, numbers: Any, transposed: int) -> None:
    text = f"""(float[1,6] x) => (float[1,4] y) {{
        a = Gemm<transB={transposed}>(x, w, b) y = BatchNormalization(a, gamma, beta, mean, var) }}"""
    size = (4, 6) if transposed else (6, 4)
    constants = {"w": numbers(*size), "b": numbers(4), **statistics(numbers, 4)}
    assert run_passes(model(text, constants), "graph_fusion").kinds == ["Gemm"]


def test_factors_and_offsets_of_channels_go_into_the_convolution(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w) b = Mul(a, f) c = Add(g, b) d = Div(c, two) e = Sub(h, d) y = Relu(e) }"""
    constants = {"w": numbers(4, 3, 3, 3), "f": numbers(4, 1, 1), "g": numbers(1, 4, 1, 1), "h": numbers(4, 1, 1)}
    done = run_passes(model(text, {**constants, "two": np.float32(2)}), "graph_fusion")
    assert done.kinds == ["Conv", "Relu"]
    assert done.report.sqnr_db > 100


@pytest.mark.parametrize(
    "text",
    [
        "{ a = Conv(x, w) y = Mul(a, everywhere) }",
        "{ a = Conv(x, w) b = Mul(a, channel) y = Add(a, b) }",
        "{ a = Conv(x, w) y = Div(channel, a) }",
        "{ a = Conv(x, w) y = Mul(a, width) }",
    ],
)
def test_what_is_not_one_number_a_channel_stays(model: Any, run_passes: Any, numbers: Any, text: str) -> None:
    used = {"everywhere": numbers(1, 4, 8, 8), "channel": numbers(4, 1, 1), "width": numbers(8)}
    constants = {"w": numbers(4, 3, 1, 1), **{name: values for name, values in used.items() if name in text}}
    done = run_passes(model(f"(float[1,3,8,8] x) => (float[1,4,8,8] y) {text}", constants), "graph_fusion")
    assert done.report.changes == ()


def test_weights_that_layers_share_stay_right(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,4,8,8] x) => (float[1,4,8,8] y) {
        a = Conv(x, w, b) c = Mul(a, f) d = Conv(c, w, b) y = Relu(d) }"""
    constants = {"w": numbers(4, 4, 1, 1), "b": numbers(4), "f": numbers(4, 1, 1)}
    assert run_passes(model(text, constants), "graph_fusion").kinds == ["Conv", "Conv", "Relu"]


def test_a_product_and_an_offset_become_a_linear_layer(model: Any, run_passes: Any, numbers: Any) -> None:
    text = "(float[1,6] x) => (float[1,4] y) { a = MatMul(x, w) y = Add(a, b) }"
    assert run_passes(model(text, {"w": numbers(6, 4), "b": numbers(4)}), "graph_fusion").kinds == ["Gemm"]


def test_an_activation_goes_next_to_its_layer(model: Any, run_passes: Any, numbers: Any) -> None:
    text = """(float[1,3,8,8] x) => (float[1,256] y) {
        a = Conv(x, w) b = Transpose<perm=[0,2,3,1]>(a) c = Reshape(b, shape) y = Relu(c) }"""
    done = run_passes(model(text, {"w": numbers(4, 3, 1, 1), "shape": np.int64([1, 256])}), "graph_fusion")
    assert done.kinds == ["Conv", "Relu", "Transpose", "Reshape"]
    assert done.report.sqnr_db == 200


def test_the_parts_of_a_hardswish_become_one(model: Any, run_passes: Any) -> None:
    text = """(float[1,8] x) => (float[1,8] y) {
        a = Add(x, three) b = Clip(a, zero, six) c = Mul(b, x) y = Div(c, six) }"""
    constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    assert run_passes(model(text, constants), "graph_fusion").kinds == ["HardSwish"]


def test_a_clip_of_a_relu_becomes_one_clip(model: Any, run_passes: Any) -> None:
    text = "(float[1,8] x) => (float[1,8] y) { a = Relu(x) y = Clip(a, low, high) }"
    done = run_passes(model(text, {"low": np.float32(-1), "high": np.float32(6)}), "graph_fusion")
    assert done.kinds == ["Clip"]
