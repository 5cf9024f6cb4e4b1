"""A clip to what a quantizer can give anyway is removed from a QDQ model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_pipeline.quantization.onnx_idle import drop_idle_activations
from edge_pipeline.runtimes.session import open_session, run


def model(operator: str, zero: int, scale: float, bounds: tuple[float, float] | None = None, tail: bool = True) -> Any:
    """Return a quantizer (uint8), then `operator`, then (with `tail`) a quantizer again."""
    constants = {"scale": np.float32(scale), "zero": np.uint8(zero)}
    for name, value in zip(("low", "high"), bounds or (), strict=False):
        constants[name] = np.float32(value)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "scale", "zero"], ["x_dq"]),
        helper.make_node(operator, ["x_dq", *(["low", "high"] if bounds else [])], ["a" if tail else "y"]),
    ]
    if tail:
        nodes += [
            helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["a_q"]),
            helper.make_node("DequantizeLinear", ["a_q", "scale", "zero"], ["y"]),
        ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 256]) for name in ("x", "y")]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def operators(found: Any) -> set[str]:
    return {node.op_type for node in found.graph.node}


@pytest.mark.parametrize(
    ("operator", "zero", "scale", "bounds"),
    [
        ("Relu", 0, 0.1, None),
        ("Clip", 0, 6 / 255, (0.0, 6.0)),
        ("Clip", 0, 0.01, (0.0, 6.0)),
        ("Clip", 128, 0.01, (-2.0, 2.0)),
    ],
)
def test_it_is_removed_where_it_changes_nothing(operator: str, zero: int, scale: float, bounds: Any) -> None:
    before, after = model(operator, zero, scale, bounds), model(operator, zero, scale, bounds)
    assert drop_idle_activations(after) == 1
    assert operator not in operators(after)
    onnx.checker.check_model(after, full_check=True)
    numbers = np.linspace(-8, 8, 256, dtype=np.float32)[None]
    first, second = (
        run(open_session("onnx", one.SerializeToString(), threads=1), [numbers]) for one in (before, after)
    )
    assert np.array_equal(first[0], second[0])


@pytest.mark.parametrize(
    ("operator", "zero", "scale", "bounds"),
    [
        ("Relu", 1, 0.1, None),
        ("Clip", 0, 0.1, (0.0, 6.0)),
        ("Clip", 0, 0.01, (0.5, 6.0)),
        ("Clip", 128, 0.01, (0.0, 6.0)),
        ("Sigmoid", 0, 0.1, None),
    ],
)
def test_it_is_kept_where_it_changes_numbers(operator: str, zero: int, scale: float, bounds: Any) -> None:
    found = model(operator, zero, scale, bounds)
    assert drop_idle_activations(found) == 0
    assert operator in operators(found)


def test_the_one_that_makes_an_output_of_the_model_is_kept() -> None:
    assert drop_idle_activations(model("Relu", 0, 0.1, tail=False)) == 0


def test_the_file_of_a_network_with_relu6_has_none_left(
    network: Callable[..., Any], simulate: Callable[..., Any], to_file: Callable[..., Any], pictures: Any
) -> None:
    found = onnx.load_from_string(to_file(simulate(network("separable"), pictures), pictures))
    assert not operators(found) & {"Clip", "Relu"}
