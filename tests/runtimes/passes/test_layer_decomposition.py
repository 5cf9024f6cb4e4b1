"""Layers that the NPU lacks are replaced by others that compute the same; what it has stays."""

from typing import Any

import numpy as np
import pytest

S = "float[1,8,6,6] x"
SAME = f"({S}) => (float[1,8,6,6] y)"
AXIS = {"axes": np.int64([1])}
BY_CHANNEL = {"g": np.linspace(0.5, 2, 8, dtype=np.float32), "b": np.linspace(-1, 1, 8, dtype=np.float32)}

EVERYWHERE = [
    ("GroupNormalization", 21, SAME + "{ y = GroupNormalization<num_groups=2>(x, g, b) }", BY_CHANNEL),
    ("Celu", 17, SAME + "{ y = Celu<alpha=0.7>(x) }", {}),
    ("Softsign", 17, SAME + "{ y = Softsign(x) }", {}),
    ("ReduceL1", 18, f"({S}) => (float[1,1,6,6] y) {{ y = ReduceL1(x, axes) }}", AXIS),
    ("ReduceL1", 17, f"({S}) => (float[1,6,6] y) {{ y = ReduceL1<axes=[1], keepdims=0>(x) }}", {}),
    ("ReduceSumSquare", 17, f"({S}) => (float[1,8,1,1] y) {{ y = ReduceSumSquare<axes=[2,3]>(x) }}", {}),
    ("ReduceLogSum", 18, f"({S}) => (float[1,1,6,6] y) {{ a = Abs(x) y = ReduceLogSum(a, axes) }}", AXIS),
    ("Mean", 17, f"({S}, float[1,8,6,6] z) => (float[1,8,6,6] y) {{ y = Mean(x, z, x) }}", {}),
    ("Pow", 17, SAME + "{ y = Pow(x, two) }", {"two": np.float32(2)}),
    (
        "LayerNormalization",
        17,
        SAME + "{ y = LayerNormalization<axis=1>(x, g, b) }",
        {"g": np.full((8, 6, 6), 2, np.float32), "b": np.full((8, 6, 6), 0.5, np.float32)},
    ),
]

ON_THE_OLDEST = [
    (
        "LayerNormalization",
        17,
        SAME + "{ y = LayerNormalization(x, g) }",
        {"g": np.linspace(1, 2, 6, dtype=np.float32)},
    ),
    ("InstanceNormalization", 17, SAME + "{ y = InstanceNormalization(x, g, b) }", BY_CHANNEL),
    ("ReduceL2", 18, f"({S}) => (float[1,1,6,6] y) {{ y = ReduceL2(x, axes) }}", AXIS),
    ("ReduceLogSumExp", 18, f"({S}) => (float[1,1,6,6] y) {{ y = ReduceLogSumExp(x, axes) }}", AXIS),
    ("Mish", 18, SAME + "{ y = Mish(x) }", {}),
    ("Selu", 17, SAME + "{ y = Selu(x) }", {}),
    ("ThresholdedRelu", 17, SAME + "{ y = ThresholdedRelu<alpha=0.5>(x) }", {}),
    ("Sum", 17, f"({S}, float[1,8,6,6] z) => (float[1,8,6,6] y) {{ y = Sum(x, z, x) }}", {}),
]

NATIVE = ["HardSwish", "HardSigmoid", "Elu", "Softplus", "Gelu"]


@pytest.mark.parametrize(("kind", "opset", "text", "constants"), EVERYWHERE + ON_THE_OLDEST)
def test_what_v68_lacks_is_replaced(
    model: Any, run_passes: Any, kind: str, opset: int, text: str, constants: dict[str, Any]
) -> None:
    done = run_passes(model(text, constants, opset), "layer_decomposition", hexagon="v68")
    assert len(done.report.changes) == 1, done.report.note
    assert kind not in done.kinds
    assert done.report.sqnr_db > 100
    assert done.after.opset_import[0].version == opset


@pytest.mark.parametrize(("kind", "opset", "text", "constants"), EVERYWHERE)
def test_what_every_version_lacks_is_replaced_everywhere(
    model: Any, run_passes: Any, kind: str, opset: int, text: str, constants: dict[str, Any]
) -> None:
    assert kind not in run_passes(model(text, constants, opset), "layer_decomposition", hexagon="v81").kinds


@pytest.mark.parametrize(("kind", "opset", "text", "constants"), ON_THE_OLDEST)
def test_what_newer_versions_have_stays(
    model: Any, run_passes: Any, kind: str, opset: int, text: str, constants: dict[str, Any]
) -> None:
    assert kind in run_passes(model(text, constants, opset), "layer_decomposition", hexagon="v73").kinds


@pytest.mark.parametrize("kind", NATIVE)
def test_what_every_version_has_stays(model: Any, run_passes: Any, kind: str) -> None:
    done = run_passes(model(f"{SAME} {{ y = {kind}(x) }}", {}, 20), "layer_decomposition")
    assert done.kinds == [kind]


def test_nothing_is_replaced_for_a_cpu(model: Any, run_passes: Any) -> None:
    done = run_passes(model(SAME + "{ y = Celu(x) }"), "layer_decomposition", hexagon=None)
    assert done.kinds == ["Celu"]


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("nchw,cd->ndhw", (1, 8, 6, 6), (8, 3)),
        ("nchw,nchv->ncwv", (1, 8, 6, 6), (1, 8, 6, 5)),
        ("bhid,bhjd->bhij", (1, 2, 5, 4), (1, 2, 7, 4)),
        ("abc,cd->abd", (1, 5, 4), (4, 3)),
        ("bij,bjk->bki", (1, 3, 4), (1, 4, 5)),
        ("ai,bj->abij", (1, 4), (3, 2)),
        ("bcij,bcij->bc", (1, 4, 3, 3), (1, 4, 3, 3)),
    ],
)
def test_an_einsum_becomes_a_matrix_product(
    model: Any, run_passes: Any, numbers: Any, equation: str, left: Any, right: Any
) -> None:
    made = np.einsum(equation, np.zeros(left), np.zeros(right)).shape
    a, y = (f"float[{','.join(map(str, size))}]" for size in (left, made))
    text = f'({a} x) => ({y} y) {{ y = Einsum<equation="{equation}">(x, w) }}'
    done = run_passes(model(text, {"w": numbers(*right)}), "layer_decomposition")
    assert "Einsum" not in done.kinds and done.kinds.count("MatMul") == 1
    assert done.report.multiply_adds_before == done.report.multiply_adds_after > 0


@pytest.mark.parametrize(("equation", "size", "made"), [("ii,ij->ij", 4, (4, 4)), ("ij,jk->k", 4, (4,))])
def test_an_einsum_of_another_form_is_left_and_named(
    model: Any, run_passes: Any, numbers: Any, equation: str, size: int, made: Any
) -> None:
    y = f"float[{','.join(map(str, made))}]"
    text = f'(float[1,16] x) => ({y} y) {{ s = Reshape(x, t) y = Einsum<equation="{equation}">(s, w) }}'
    done = run_passes(model(text, {"t": np.int64([4, 4]), "w": numbers(4, 4)}), "layer_decomposition")
    assert "Einsum" in done.kinds
    assert done.report.note == "left Einsum Einsum_1: no replacement for its form"


def test_slices_that_share_out_a_tensor_become_a_split(model: Any, run_passes: Any) -> None:
    text = """(float[1,8,4,4] x) => (float[1,8,4,4] y) {
        a = Slice(x, zero, three, axis) b = Slice(x, three, end, axis, one) y = Concat<axis=1>(b, a) }"""
    constants = {"zero": [0], "three": [3], "end": [2**62], "axis": [1], "one": [1]}
    done = run_passes(model(text, {k: np.int64(v) for k, v in constants.items()}), "layer_decomposition")
    assert done.kinds == ["Split", "Concat"]
    assert done.report.changes == ("Slice_0 + Slice_1 -> one Split",)
    assert done.report.sqnr_db == 200


def test_slices_that_overlap_stay(model: Any, run_passes: Any) -> None:
    text = """(float[1,8,4,4] x) => (float[1,9,4,4] y) {
        a = Slice(x, zero, four, axis) b = Slice(x, three, eight, axis) y = Concat<axis=1>(b, a) }"""
    constants = {"zero": [0], "three": [3], "four": [4], "eight": [8], "axis": [1]}
    done = run_passes(model(text, {k: np.int64(v) for k, v in constants.items()}), "layer_decomposition")
    assert done.report.changes == ()


def test_a_needless_expand_goes(model: Any, run_passes: Any, numbers: Any) -> None:
    text = "(float[1,8,4,4] x) => (float[1,8,4,4] y) { a = Expand(c, s) y = Add(x, a) }"
    done = run_passes(model(text, {"c": numbers(8, 1, 1), "s": np.int64([1, 8, 4, 4])}), "layer_decomposition")
    assert done.kinds == ["Add"]


def resize(mode: str, rounding: str, factor: int = 2, kind: str = "nearest") -> str:
    size = f"float[1,2,{4 * factor},{4 * factor}]"
    options = f'mode="{kind}", coordinate_transformation_mode="{mode}", nearest_mode="{rounding}"'
    return f"(float[1,2,4,4] x) => ({size} y) {{ y = Resize<{options}>(x, , scales) }}"


def scales(factor: int = 2) -> dict[str, Any]:
    return {"scales": np.float32([1, 1, factor, factor])}


@pytest.mark.parametrize(
    ("mode", "rounding"),
    [
        ("half_pixel", "round_prefer_ceil"),
        ("pytorch_half_pixel", "round_prefer_floor"),
        ("half_pixel_symmetric", "floor"),
    ],
)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_resize_the_npu_gets_wrong_is_given_another_form(
    model: Any, run_passes: Any, mode: str, rounding: str, factor: int
) -> None:
    done = run_passes(model(resize(mode, rounding, factor), scales(factor), 19), "layer_decomposition")
    assert done.report.sqnr_db == 200
    if done.kinds == ["Resize"]:
        assert done.attribute("Resize", "coordinate_transformation_mode") == b"asymmetric"
        assert done.attribute("Resize", "nearest_mode") == b"floor"
    else:
        assert done.kinds == ["Gather", "Gather"] and rounding == "floor"


@pytest.mark.parametrize(
    ("mode", "rounding"), [("half_pixel", "ceil"), ("pytorch_half_pixel", "floor"), ("asymmetric", "ceil")]
)
def test_a_resize_that_picks_other_pixels_becomes_gathers(
    model: Any, run_passes: Any, mode: str, rounding: str
) -> None:
    done = run_passes(model(resize(mode, rounding), scales(), 19), "layer_decomposition")
    assert done.kinds == ["Gather", "Gather"]
    assert done.report.sqnr_db == 200


@pytest.mark.parametrize(("mode", "rounding"), [("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")])
def test_a_resize_the_npu_gets_right_stays(model: Any, run_passes: Any, mode: str, rounding: str) -> None:
    done = run_passes(model(resize(mode, rounding), scales(), 19), "layer_decomposition")
    assert done.report.changes == () and done.report.note == ""


def test_a_resize_between_quantizers_that_would_need_gathers_is_left_and_named(model: Any, run_passes: Any) -> None:
    text = """(float[1,2,4,4] x) => (float[1,2,8,8] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
        a = Resize<mode="nearest", coordinate_transformation_mode="half_pixel", nearest_mode="ceil">(d, , scales)
        r = QuantizeLinear(a, s, z) y = DequantizeLinear(r, s, z) }"""
    done = run_passes(model(text, {"s": np.float32(0.02), "z": np.uint8(128), **scales()}, 19), "layer_decomposition")
    assert done.report.note == "left Resize Resize_2: the NPU picks other pixels with half_pixel and ceil"


def test_half_pixel_symmetric_becomes_half_pixel(model: Any, run_passes: Any) -> None:
    text = resize("half_pixel_symmetric", "floor", kind="linear")
    done = run_passes(model(text, scales(), 19), "layer_decomposition")
    assert done.attribute("Resize", "coordinate_transformation_mode") == b"half_pixel"


def test_a_layer_without_replacement_is_named(model: Any, run_passes: Any) -> None:
    done = run_passes(model("(float[1,8] x) => (float[1,8] y) { y = Hardmax(x) }"), "layer_decomposition")
    assert done.report.note == "left Hardmax Hardmax_0: the NPU has no such layer"


def test_a_layer_between_quantizers_is_left_and_named(model: Any, run_passes: Any) -> None:
    text = """(float[1,8] x) => (float[1,8] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) a = Celu(d)
        r = QuantizeLinear(a, s, z) y = DequantizeLinear(r, s, z) }"""
    done = run_passes(model(text, {"s": np.float32(0.02), "z": np.uint8(128)}), "layer_decomposition")
    assert done.report.changes == ()
    assert done.report.note == "left Celu Celu_2: it is between quantizers"
