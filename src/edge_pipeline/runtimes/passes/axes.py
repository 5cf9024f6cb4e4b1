"""Operators that run as well on a tensor whose axes are in another order."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edge_pipeline.runtimes.passes.graph import Writer, constant, static, whole

ONE_INPUT = (
    *("Abs", "Cast", "Ceil", "Celu", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu"),
    *("Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt"),
    *("Tanh", "ThresholdedRelu"),
)

ELEMENTWISE = frozenset((*ONE_INPUT, "Clip", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu", "Sum", "Mean"))

QUANTIZING = frozenset(("QuantizeLinear", "DequantizeLinear"))

WITH_AXIS = frozenset(("Concat", "Split", "Softmax", "LogSoftmax"))

REDUCING = frozenset(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"))


def reorders(node: ir.Node, index: int, perm: Sequence[int]) -> bool:
    """Tell whether a node can take its input `index` before a transpose with `perm`, and be transposed afterwards."""
    if node.domain != "":
        return False
    kind = node.op_type
    if kind in ELEMENTWISE:
        return all(_broadcasts(value, len(perm)) for value in node.inputs if value is not None)
    if kind in QUANTIZING:
        scale = static(node.inputs[1])
        return index == 0 and scale is not None and len(scale) <= 1 and not whole(node, "block_size", 0)
    if kind in WITH_AXIS:
        return kind == "Concat" or index == 0
    if kind in REDUCING:
        return index == 0 and bool(whole(node, "keepdims", 1)) and _axes_known(node)
    return kind == "Pad" and index == 0 and len(node.inputs) < 4 and constant(node.inputs[1]) is not None


def reorder(out: Writer, node: ir.Node, perm: Sequence[int]) -> None:
    """Change constants and attributes of a node for inputs before the transpose."""
    kind, rank = node.op_type, len(perm)
    if kind in ELEMENTWISE:
        for index, value in enumerate(node.inputs):
            found = constant(value) if value is not None else None
            if found is not None and found.size != 1:
                full = found.reshape(*[1] * (rank - found.ndim), *found.shape)
                plain = np.ascontiguousarray(full.transpose(np.argsort(perm)))
                node.replace_input_with(index, out.constant(plain, "constant"))
    elif kind in WITH_AXIS or kind in QUANTIZING:
        default = {"Concat": 0, "Split": 0, "Softmax": -1, "LogSoftmax": -1}.get(kind, 1)
        axis = perm[whole(node, "axis", default) % rank]
        if kind in WITH_AXIS or (static(node.inputs[1]) or ()) not in ((), (1,)):
            node.attributes["axis"] = ir.AttrInt64("axis", axis)
    elif kind in REDUCING:
        if len(node.inputs) > 1 and (axes := constant(node.inputs[1])) is not None:
            node.replace_input_with(1, out.constant([perm[int(axis) % rank] for axis in axes], "axes"))
        elif "axes" in node.attributes:
            axes_given = node.attributes.get_ints("axes", [])
            node.attributes["axes"] = ir.AttrInt64s("axes", [perm[axis % rank] for axis in axes_given])
    elif kind == "Pad" and (pads := constant(node.inputs[1])) is not None:
        ends = pads.reshape(2, rank)[:, np.argsort(perm)]
        node.replace_input_with(1, out.constant(ends.ravel().tolist(), "pads"))


def _broadcasts(value: ir.Value, rank: int) -> bool:
    """Tell whether an input is a tensor with all axes, a constant, or a single number."""
    found = constant(value)
    if found is not None:
        return found.ndim <= rank
    shape = static(value)
    if shape is not None and shape in ((), (1,)):
        return True
    return value.shape is not None and len(value.shape) == rank


def _axes_known(node: ir.Node) -> bool:
    return len(node.inputs) < 2 or node.inputs[1] is None or constant(node.inputs[1]) is not None
