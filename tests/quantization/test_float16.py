"""Half precision, as ONNX Runtime runs it."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization.export import to_float16, to_onnx

Make = Callable[..., Any]


def exported(net: nn.Module, *samples: torch.Tensor) -> bytes:
    inputs = tuple(one[:1] for one in samples)
    made = net(*inputs)
    outputs = [f"out_{i}" for i in range(len(made) if isinstance(made, tuple) else 1)]
    names = [f"in_{i}" for i in range(len(inputs))]
    return to_onnx(net, inputs, names, outputs, opset=17, quantized=False)


@pytest.mark.parametrize("name", ["branches", "separable", "several", "enlarging"])
def test_the_outputs_are_those_of_float32(
    network: Make, outputs_of: Make, pictures: torch.Tensor, others: torch.Tensor, name: str
) -> None:
    net = network(name)
    samples = (pictures[:2], others[:2]) if name == "several" else (pictures[:2],)
    data = to_float16(exported(net, *samples))
    for expected, actual in zip(outputs_of(net, *samples), outputs_of(data, *samples), strict=True):
        assert sqnr_db(expected, actual) > 50


def test_inputs_and_outputs_stay_float32_and_weights_do_not(network: Make, pictures: torch.Tensor) -> None:
    before = exported(network("separable"), pictures)
    data = to_float16(before)
    graph = onnx.load_from_string(data).graph
    kinds = {one.type.tensor_type.elem_type for one in (*graph.input, *graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert [one.name for one in graph.input] == ["in_0"]
    assert [one.name for one in graph.output] == ["out_0"]
    weights = [one for one in graph.initializer if len(one.dims) == 4]
    assert weights
    assert {one.data_type for one in weights} == {onnx.TensorProto.FLOAT16}
    assert len(data) < 0.8 * len(before)


@pytest.mark.parametrize("number", [70000.0, -70000.0, float("inf")])
def test_a_weight_that_is_too_large_is_refused_by_name(number: float) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = number
    with pytest.raises(ExportError, match=r"'0\.weight' holds numbers beyond 65504"):
        to_float16(exported(net, torch.zeros(1, 3, 4, 4)))


def test_the_largest_number_of_float16_is_taken() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = 65504.0
    assert to_float16(exported(net, torch.zeros(1, 3, 4, 4)))
