"""Compute once what does not depend on the input."""

from math import prod

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass
from onnxscript.optimizer import fold_constants_ir

from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import constant, edits, label, static

SMALL, GROWTH = 1024, 4
"""A tensor of more than `SMALL` numbers stays computed if it has more than `GROWTH` times those it is made of."""


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Fold constants, also the shapes of tensors that are known; quantized constants stay integers.

    A QuantizeLinear of a constant is folded to its integers. A DequantizeLinear never is, so the engine sees them.
    """
    before = {id(node): node for node in model.graph}
    lifted = [node for node in before.values() if node.op_type == "Constant"]
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    fold_constants_ir(
        model,
        onnx_shape_inference=True,
        input_size_limit=2**31,
        output_size_limit=2**31,
        should_fold=_should_fold,
    )
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    after = {id(node) for node in model.graph}
    lines = [f"{label(node)} -> an initializer" for node in lifted]
    folded = [node for key, node in before.items() if key not in after and node.op_type != "Constant"]
    return lines + [f"{node.op_type} {label(node)} -> a constant or its input" for node in folded]


def _should_fold(node: ir.Node) -> bool | None:
    if node.op_type in ("DequantizeLinear", "DynamicQuantizeLinear"):
        return False
    if node.op_type == "QuantizeLinear":
        zero = constant(node.inputs[2]) if len(node.inputs) == 3 else None
        return zero is not None and zero.dtype.itemsize >= 1 and zero.dtype.kind in "iu"
    made = [static(value) for value in node.outputs]
    if any(shape is None for shape in made):
        return None
    size = sum(prod(shape) for shape in made if shape is not None)
    given = sum(prod(static(value) or ()) for value in node.inputs if value is not None)
    return size <= max(SMALL, GROWTH * given)
