"""The preparation of pictures becomes part of the model, which then takes bytes."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.runtimes.passes.normalisation import fold_normalisation

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def outputs(model: onnx.ModelProto, picture: Any) -> Any:
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": picture})


def compare(model: onnx.ModelProto) -> tuple[list[str], float]:
    """Return what was changed, and the agreement with the preparation outside of the model."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8)).astype(np.uint8)
    column = (1, 3, 1, 1)
    prepared = (picture / 255 - np.reshape(MEAN, column)) / np.reshape(STD, column)
    wanted = outputs(model, prepared.astype(np.float32))
    lines = fold_normalisation(model, MEAN, STD)
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].name == "x"
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    found = outputs(model, picture)
    return lines, min(sqnr_db(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("bias", ["", ", b"])
def test_without_padding_it_costs_nothing(model: Any, numbers: Any, bias: str) -> None:
    text = f"(float[1,3,8,8] x) => (float[1,4,6,6] y, float[1,4,8,8] z) {{ y = Conv(x, w{bias}) z = Conv(x, v) }}"
    constants = {"w": numbers(4, 3, 3, 3), "v": numbers(4, 3, 1, 1), **({"b": numbers(4)} if bias else {})}
    made = model(text, constants)
    lines, agreement = compare(made)
    assert [node.op_type for node in made.graph.node] == ["Cast", "Conv", "Conv"]
    assert lines[0] == "mean and std -> the weights of Conv_0"
    assert agreement > 100


@pytest.mark.parametrize("first", ["y = Conv<pads=[1,1,1,1]>(x, w)", "a = Relu(x) y = Conv<pads=[1,1,1,1]>(a, w)"])
def test_with_padding_a_mul_and_an_add_come_first(model: Any, numbers: Any, first: str) -> None:
    made = model(f"(float[1,3,8,8] x) => (float[1,4,8,8] y) {{ {first} }}", {"w": numbers(4, 3, 3, 3)})
    _, agreement = compare(made)
    assert [node.op_type for node in made.graph.node][:3] == ["Cast", "Mul", "Add"]
    assert agreement > 100


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("(float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }", (0.5,)),
        ("(float[1,3] x) => (float[1,3] y) { y = Relu(x) }", MEAN),
        ("(float[1,3,8,8] x) => (uint8[1,3,8,8] y) { y = QuantizeLinear(x, x1) }", MEAN),
    ],
)
def test_other_models_are_refused(model: Any, text: str, mean: Any) -> None:
    constants = {"x1": np.float32(0.1)} if "x1" in text else {}
    with pytest.raises(CompileError):
        fold_normalisation(model(text, constants), mean, STD)
