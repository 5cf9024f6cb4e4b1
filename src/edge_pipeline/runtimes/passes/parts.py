"""Layers as several simpler ones that compute the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edge_pipeline.runtimes.passes.graph import Writer, constant, scalar, static, whole


def square(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return x * x for Pow(x, 2)."""
    x = _x(node)
    exponent = constant(node.inputs[1])
    if scalar(node.inputs[1]) != 2.0 or exponent is None or exponent.ndim > len(static(x) or ()):
        return None
    return out.op("Mul", x, x)


def mish(out: Writer, node: ir.Node) -> ir.Value:
    """Return x tanh(softplus(x))."""
    return out.op("Mul", _x(node), out.op("Tanh", out.op("Softplus", _x(node))))


def selu(out: Writer, node: ir.Node) -> ir.Value:
    """Return gamma elu(x)."""
    alpha = node.attributes.get_float("alpha", 1.6732631921768188)
    gamma = node.attributes.get_float("gamma", 1.0507010221481323)
    return out.op("Mul", out.op("Elu", _x(node), alpha=alpha), _number(out, node, gamma))


def celu(out: Writer, node: ir.Node) -> ir.Value:
    """Return alpha elu(x / alpha)."""
    alpha = node.attributes.get_float("alpha", 1.0)
    inner = out.op("Elu", out.op("Mul", _x(node), _number(out, node, 1 / alpha)), alpha=1.0)
    return out.op("Mul", inner, _number(out, node, alpha))


def softsign(out: Writer, node: ir.Node) -> ir.Value:
    """Return x / (1 + |x|)."""
    return out.op("Div", _x(node), out.op("Add", out.op("Abs", _x(node)), _number(out, node, 1.0)))


def thresholded_relu(out: Writer, node: ir.Node) -> ir.Value:
    """Return x where it is above alpha, else 0."""
    above = out.op("Greater", _x(node), _number(out, node, node.attributes.get_float("alpha", 1.0)))
    above.type = ir.TensorType(ir.DataType.BOOL)
    made = out.op("Where", above, _x(node), _number(out, node, 0.0))
    made.type = _x(node).type
    return made


def sum_of(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the sum of the inputs, added one after another."""
    total = _x(node)
    for value in node.inputs[1:]:
        total = out.op("Add", total, value)
    return total if len(node.inputs) > 1 else None


def mean(out: Writer, node: ir.Node) -> ir.Value:
    """Return the mean of the inputs."""
    return out.op("Mul", sum_of(out, node) or _x(node), _number(out, node, 1 / len(node.inputs)))


def reduce_sum_square(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the sum of squares."""
    return _reduced(out, node, out.op("Mul", _x(node), _x(node)))


def reduce_l1(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the sum of absolute values."""
    return _reduced(out, node, out.op("Abs", _x(node)))


def reduce_l2(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the square root of the sum of squares."""
    total = reduce_sum_square(out, node)
    return None if total is None else out.op("Sqrt", total)


def reduce_log_sum(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the logarithm of the sum."""
    total = _reduced(out, node, _x(node))
    return None if total is None else out.op("Log", total)


def reduce_log_sum_exp(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return log(sum(exp(x - m))) + m, with m the largest x along the axes."""
    axes = _axes(node)
    if axes is None or not whole(node, "keepdims", 1):
        return None
    top = _reduce(out, node, "ReduceMax", _x(node), axes)
    total = _reduced(out, node, out.op("Exp", out.op("Sub", _x(node), top)))
    return None if total is None else out.op("Add", out.op("Log", total), top)


def spans_axes(node: ir.Node) -> bool:
    """Tell whether a node is a LayerNormalization over more than the last axis."""
    if node.op_type != "LayerNormalization":
        return False
    shape = static(node.inputs[0])
    return shape is not None and whole(node, "axis", -1) not in (-1, len(shape) - 1)


def layer_norm(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return (x - mean) / sqrt(variance + epsilon) * scale + bias over the last axes."""
    shape = static(node.inputs[0])
    if shape is None or any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        return None
    first = whole(node, "axis", -1) % len(shape)
    made = out.op("Mul", _normalized(out, node, _x(node), range(first, len(shape))), node.inputs[1])
    return out.op("Add", made, node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else made


def instance_norm(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the norm of each channel over its positions, times scale, plus bias."""
    shape = static(node.inputs[0])
    if shape is None or len(shape) < 3:
        return None
    made = _normalized(out, node, _x(node), range(2, len(shape)))
    return _by_channel(out, node, made, len(shape))


def group_norm(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return the norm over groups of channels and all positions, times scale, plus bias."""
    shape, groups = static(node.inputs[0]), whole(node, "num_groups", 1)
    weight = static(node.inputs[1])
    if shape is None or weight != (shape[1],):
        return None
    flat = out.op("Reshape", _x(node), out.constant((shape[0], groups, -1), "groups"))
    normalized = _normalized(out, node, flat, [2])
    back = out.op("Reshape", normalized, out.constant(shape, "shape"))
    return _by_channel(out, node, back, len(shape))


def _by_channel(out: Writer, node: ir.Node, value: ir.Value, rank: int) -> ir.Value | None:
    scale, bias = (constant(one) for one in node.inputs[1:3])
    if scale is None or bias is None:
        return None
    column = (-1, *[1] * (rank - 2))
    scale, bias = (one.reshape(column) for one in (scale, bias))
    return out.op("Add", out.op("Mul", value, out.constant(scale, "scale")), out.constant(bias, "bias"))


def _normalized(out: Writer, node: ir.Node, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    away = out.op("Sub", value, _reduce(out, node, "ReduceMean", value, axes))
    variance = _reduce(out, node, "ReduceMean", out.op("Mul", away, away), axes)
    epsilon = _number(out, node, node.attributes.get_float("epsilon", 1e-5))
    return out.op("Div", away, out.op("Sqrt", out.op("Add", variance, epsilon)))


def _reduced(out: Writer, node: ir.Node, value: ir.Value) -> ir.Value | None:
    axes = _axes(node)
    if axes is None:
        return None
    return _reduce(out, node, "ReduceSum", value, axes, whole(node, "keepdims", 1))


def _axes(node: ir.Node) -> list[int] | None:
    """Return the axes of a reduction, also where they are not given, which means all."""
    shape = static(node.inputs[0])
    if shape is None or whole(node, "noop_with_empty_axes", 0):
        return None
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        found = constant(node.inputs[1])
        return None if found is None else [int(axis) for axis in found] or list(range(len(shape)))
    return list(node.attributes.get_ints("axes", list(range(len(shape)))))


def _reduce(out: Writer, node: ir.Node, kind: str, value: ir.Value, axes: Sequence[int], keepdims: int = 1) -> ir.Value:
    """Add a reduction: its axes are an attribute before opset 18, of ReduceSum before 13."""
    graph = node.graph
    assert graph is not None
    if graph.opset_imports.get("", 1) < (13 if kind == "ReduceSum" else 18):
        return out.op(kind, value, axes=list(axes), keepdims=keepdims)
    return out.op(kind, value, out.constant(axes, "axes"), keepdims=keepdims)


def _number(out: Writer, node: ir.Node, number: float) -> ir.Value:
    dtype: Any = _x(node).dtype
    return out.constant(np.asarray(number, dtype.numpy()), "number")


def _x(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value
