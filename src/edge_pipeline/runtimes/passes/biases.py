"""Give biases the 32-bit integers that integer layers add up in."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edge_pipeline.runtimes.passes.base import LEFT, Goal
from edge_pipeline.runtimes.passes.graph import MOVES, Writer, constant, edits, label, maker, whole

LAYERS = ("Conv", "ConvTranspose", "Gemm")

SAME_SCALE = 1e-6
"""Relative difference of two float32 scales that are one."""


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Quantize each bias of an integer layer to int32, with the scale of the input times that of the weight.

    This is the form that integer layers need (ONNX, operator QLinearConv). Each layer gets a bias of its own,
    also where several shared one. A bias whose integers would not fit into 32 bits is left.
    """
    lines = []
    for node in list(model.graph):
        if node.op_type not in LAYERS or node.domain != "" or len(node.inputs) < 3 or node.inputs[2] is None:
            continue
        scale = _scale(node)
        if scale is None or _is_right(node, scale):
            continue
        bias = _real(node.inputs[2])
        if bias is None or bias.size != max(bias.size, scale.size):
            lines.append(f"{LEFT}the bias of {label(node)}: it is no constant of one number for each channel")
            continue
        integers = np.rint(bias.reshape(-1).astype(np.float64) / scale)
        if np.abs(integers).max(initial=0) > np.iinfo(np.int32).max:
            lines.append(f"{LEFT}the bias of {label(node)}: its integers would not fit into 32 bits")
            continue
        _give(model, node, integers.astype(np.int32), scale)
        lines.append(f"the bias of {label(node)} -> int32")
    return lines


def _give(model: ir.Model, node: ir.Node, integers: NDArray[Any], scale: NDArray[Any]) -> None:
    out = Writer(model, node)
    scales = np.asarray(scale, np.float32)
    zeros = np.zeros(scales.shape, np.int32)
    parts = (out.constant(integers, "bias"), out.constant(scales, "bias_scale"), out.constant(zeros, "bias_zero"))
    made = out.op("DequantizeLinear", *parts, **({"axis": 0} if scales.ndim else {}))
    made.type, made.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(integers.shape)
    node.replace_input_with(2, made)


def _scale(node: ir.Node) -> NDArray[Any] | None:
    """Return the scale of the sums of a layer, () or (channels,); `None` if the layer is not on integers."""
    if node.op_type == "Gemm" and any(node.attributes.get_float(name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return None
    source, weight = _dequantizer(node.inputs[0]), _dequantizer(node.inputs[1])
    if source is None or weight is None:
        return None
    of_input, of_weight = constant(source.inputs[1]), constant(weight.inputs[1])
    if of_input is None or of_weight is None or of_input.size != 1 or of_weight.ndim > 1:
        return None
    if whole(weight, "block_size", 0):
        return None
    scale = of_input.reshape(()).astype(np.float64) * of_weight.astype(np.float64)
    if scale.size == 1:
        return np.asarray(scale.reshape(()))
    group = whole(node, "group", 1) if node.op_type == "ConvTranspose" else 1
    return np.tile(scale, group)


def _dequantizer(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear that a tensor comes from, also through operators that only move numbers."""
    while (move := maker(value, *MOVES, "MaxPool", "Identity")) is not None:
        value = move.inputs[0]
    return maker(value, "DequantizeLinear")


def _is_right(node: ir.Node, scale: NDArray[Any]) -> bool:
    dequantizer = maker(node.inputs[2], "DequantizeLinear")
    if dequantizer is None:
        return False
    integers, own = dequantizer.inputs[0], constant(dequantizer.inputs[1])
    zero = constant(dequantizer.inputs[2]) if len(dequantizer.inputs) > 2 else np.int32(0)
    if integers is None or not integers.is_initializer() or own is None or zero is None or zero.any():
        return False
    shared = len(integers.uses()) > 1 or len(dequantizer.outputs[0].uses()) > 1
    one_each = own.size == scale.size
    return integers.dtype == ir.DataType.INT32 and not shared and one_each and np.allclose(own, scale, SAME_SCALE, 0)


def _real(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the numbers that a bias stands for."""
    while (identity := maker(value, "Identity")) is not None:
        value = identity.inputs[0]
    dequantizer = maker(value, "DequantizeLinear")
    if dequantizer is None:
        return constant(value)
    if (quantizer := maker(dequantizer.inputs[0], "QuantizeLinear")) is not None:
        return constant(quantizer.inputs[0])
    integers, scale = (constant(one) for one in dequantizer.inputs[:2])
    zero = constant(dequantizer.inputs[2]) if len(dequantizer.inputs) > 2 else np.int32(0)
    if integers is None or scale is None or zero is None:
        return None
    real: NDArray[Any] = (integers.astype(np.float64) - zero.astype(np.float64)) * scale.astype(np.float64)
    return real
