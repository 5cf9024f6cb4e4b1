"""Drop activations that the quantizer after them implies."""

import numpy as np
import onnx
import onnx_ir as ir

from edge_pipeline.quantization.onnx_idle import drop_idle_activations
from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import MOVES, constant, edits, label, maker, scalar, stand_in

ORDER_KEEPING = (*MOVES, "MaxPool", "Slice")
"""Operators through which a clip passes unchanged: each number of the output is one of the input, or their largest."""


def apply(model: onnx.ModelProto, goal: Goal) -> list[str]:
    """Remove each Relu and Clip that the quantizer before it, or all quantizers after it, make idle.

    A quantizer gives its lowest integer for everything below its range. Where the lower bound of the activation is
    rounded to that integer, and the upper bound to the highest, nothing is left for the activation to do. Outputs stay
    equal, bit by bit.
    """
    dequantizers = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    before = drop_idle_activations(model) if all(len(node.input) == 3 for node in dequantizers) else 0
    lines = [f"{before} activations have no effect after the quantizer before them"] if before else []
    return lines + _drop_implied(model, goal)


@edits
def _drop_implied(model: ir.Model, goal: Goal) -> list[str]:
    lines = []
    for node in list(model.graph):
        if node.op_type not in ("Relu", "Clip") or node.domain != "" or node.inputs[0] is None:
            continue
        bounds = _bounds(node)
        if bounds is not None and _implied(node.outputs[0], *bounds) and stand_in(node.outputs[0], node.inputs[0]):
            model.graph.remove(node, safe=True)
            lines.append(f"{label(node)} is implied by the quantizer after it")
    return lines


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    if node.op_type == "Relu":
        return 0.0, np.inf
    given = [*node.inputs[1:], None, None][:2]
    low, high = (
        _number(value) if value is not None else end for value, end in zip(given, (-np.inf, np.inf), strict=True)
    )
    return None if low is None or high is None else (low, high)


def _number(value: ir.Value) -> float | None:
    """Return a constant of one number, also one that is quantized."""
    dequantizer = maker(value, "DequantizeLinear")
    if dequantizer is None:
        return scalar(value)
    integers = dequantizer.inputs[0]
    if (quantizer := maker(integers, "QuantizeLinear")) is not None:
        return scalar(quantizer.inputs[0]) if _range(quantizer) is not None else None
    found = [constant(one) for one in dequantizer.inputs]
    if len(found) != 3 or any(one is None or one.size != 1 for one in found):
        return None
    number, scale, zero = (np.asarray(one).reshape(()) for one in found)
    return float((np.float32(number) - np.float32(zero)) * scale)


def _implied(value: ir.Value, low: float, high: float) -> bool:
    """Tell whether all that reads a tensor gives the same for it as for the tensor clipped to `low` ... `high`."""
    uses = value.uses()
    if value.is_graph_output() or not uses:
        return False
    return all(
        _saturates(use.node, low, high)
        if use.node.op_type == "QuantizeLinear" and use.idx == 0
        else use.idx == 0
        and use.node.op_type in ORDER_KEEPING
        and len(use.node.outputs) == 1
        and _implied(use.node.outputs[0], low, high)
        for use in uses
    )


def _saturates(quantizer: ir.Node, low: float, high: float) -> bool:
    found = _range(quantizer)
    if found is None:
        return False
    scale, lowest, highest = found
    below = low == -np.inf or np.rint(np.float32(low) / scale) <= lowest
    return bool(below and (high == np.inf or np.rint(np.float32(high) / scale) >= highest))


def _range(quantizer: ir.Node) -> tuple[np.float32, int, int] | None:
    """Return scale, and the lowest and highest integer less the zero point, of a quantizer with one scale."""
    scale = constant(quantizer.inputs[1])
    zero = constant(quantizer.inputs[2]) if len(quantizer.inputs) == 3 else np.uint8(0)
    if scale is None or zero is None or scale.size != 1 or scale.dtype != np.float32 or zero.dtype.kind not in "iu":
        return None
    limits, offset = np.iinfo(zero.dtype), int(zero.reshape(()))
    return np.float32(scale.reshape(())), limits.min - offset, limits.max - offset
