"""Make batch norms, factors and offsets part of a layer, and put activations where the engine joins them to it."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules import common

from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import (
    MOVES,
    Writer,
    constant,
    edits,
    is_quantized,
    label,
    maker,
    private,
    stand_in,
    static,
    whole,
)

LAYERS = ("Conv", "ConvTranspose", "Gemm")

ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Elu", "Gelu")

RULES = RewriteRuleSet(
    [
        common.matmul_add_to_gemm_rule,
        common.transpose_a_matmul_add_to_gemm_rule,
        common.transpose_b_matmul_add_to_gemm_rule,
        common.transpose_ab_matmul_add_to_gemm_rule,
        common.max_min_rule,
        common.min_max_rule,
        common.successive_relu_rule,
        common.successive_clip_rule,
        common.successive_clip_relu_rule,
        common.successive_relu_clip_rule,
        *common.fuse_hardswish_rules(),
    ]
)


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Fold what follows a convolution or linear layer into its weights and bias.

    Folded are batch norms in inference, and Mul, Div, Add and Sub with a constant for each channel. MatMul + Add
    becomes Gemm, chains of clips one clip, the parts of a HardSwish one operator. An activation behind operators that
    only move numbers goes before them, next to the layer. A QDQ model is left as it is: its weights are integers.
    """
    if is_quantized(model):
        return []
    nodes = {id(node): node for node in model.graph}
    RULES.apply_to_model(model)
    lines = [f"{node.op_type} {label(node)} -> joined" for node in nodes.values() if node.graph is None]
    for node in list(model.graph):
        lines += _advance(node) if node.op_type in ACTIVATIONS else []
    for node in list(model.graph):
        while node.graph is not None and node.op_type in LAYERS and (line := _absorb(model, node)):
            lines.append(line)
    return lines


def _absorb(model: ir.Model, layer: ir.Node) -> str:
    """Fold the one reader of a layer into it if it can be; return what was done."""
    made, weight = layer.outputs[0], constant(layer.inputs[1])
    bias = constant(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] is not None else np.zeros(1)
    if weight is None or bias is None or weight.dtype.kind != "f" or not private(made):
        return ""
    if layer.op_type == "Gemm" and any(layer.attributes.get_float(name, 1.0) != 1.0 for name in ("alpha", "beta")):
        return ""
    channels = _channels(layer, weight)
    reader = next(iter(made.uses())).node
    found = _affine(reader, made, channels)
    if found is None or (layer.op_type == "Gemm" and bias.size not in (1, channels)):
        return ""
    factor, offset = found
    out = Writer(model, layer)
    moved = (np.broadcast_to(bias.astype(np.float64).reshape(-1), channels) * factor + offset).astype(weight.dtype)
    if not stand_in(reader.outputs[0], made):
        return ""
    if not np.all(factor == 1.0):
        scaled = (weight.astype(np.float64) * _along_weight(layer, weight, factor)).astype(weight.dtype)
        layer.replace_input_with(1, out.constant(scaled, "weight"))
    layer.resize_inputs(3)
    layer.replace_input_with(2, out.constant(moved, "bias"))
    model.graph.remove(reader, safe=True)
    return f"{label(layer)} + {label(reader)} -> {label(layer)}"


def _channels(layer: ir.Node, weight: NDArray[Any]) -> int:
    if layer.op_type == "ConvTranspose":
        return int(weight.shape[1]) * whole(layer, "group", 1)
    return int(weight.shape[1 if _columns(layer) else 0])


def _columns(layer: ir.Node) -> bool:
    """Tell whether each column of the weight belongs to one output channel."""
    return layer.op_type == "Gemm" and not whole(layer, "transB", 0)


def _along_weight(layer: ir.Node, weight: NDArray[Any], factor: NDArray[Any]) -> NDArray[Any]:
    """Arrange a factor for each output channel so that it multiplies the weight."""
    if _columns(layer):
        return factor
    if layer.op_type != "ConvTranspose":
        return factor.reshape(-1, *[1] * (weight.ndim - 1))
    group = whole(layer, "group", 1)
    rows = np.repeat(factor.reshape(group, -1), weight.shape[0] // group, axis=0)
    return rows.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))


def _affine(node: ir.Node, source: ir.Value, channels: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return factor and offset for each channel if that is all that `node` does to `source`."""
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op_type == "BatchNormalization" and node.inputs[0] is source:
        parts = [constant(value) for value in node.inputs[1:5]]
        spare = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
        if spare or whole(node, "training_mode", 0) or any(part is None for part in parts):
            return None
        gamma, beta, mean, var = (np.asarray(part, np.float64) for part in parts)
        factor = gamma / np.sqrt(var + node.attributes.get_float("epsilon", 1e-5))
        return factor, beta - mean * factor
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or node.domain != "":
        return None
    first = node.inputs[0] is source
    other = constant(node.inputs[1 if first else 0])
    shape = static(source)
    if other is None or shape is None or other.ndim > len(shape) or (node.op_type == "Div" and not first):
        return None
    aligned = other.reshape(*[1] * (len(shape) - other.ndim), *other.shape)
    if any(size != 1 for axis, size in enumerate(aligned.shape) if axis != 1) or aligned.shape[1] not in (1, channels):
        return None
    values = np.broadcast_to(aligned.astype(np.float64).reshape(-1), channels)
    if node.op_type in ("Mul", "Div"):
        return (values if node.op_type == "Mul" else 1 / values), zero
    if node.op_type == "Add":
        return one, values
    return (one, -values) if first else (-one, values)


def _advance(node: ir.Node) -> list[str]:
    """Move an activation before the operators that only move numbers, up to the layer that makes them."""
    source = node.inputs[0]
    path = []
    while (move := maker(source, *MOVES)) is not None and source is not None and private(source):
        path.append(move)
        source = move.inputs[0]
    layer = maker(source, *LAYERS)
    if not path or layer is None or source is None or not private(source) or node.graph is None:
        return []
    if not stand_in(node.outputs[0], path[0].outputs[0]):
        return []
    graph = node.graph
    graph.remove(node)
    graph.insert_after(layer, node)
    node.replace_input_with(0, source)
    path[-1].replace_input_with(0, node.outputs[0])
    node.outputs[0].shape, node.outputs[0].type = source.shape, source.type
    return [f"{label(node)} goes next to {label(layer)}"]
