"""Replace layers that the Hexagon NPU lacks by some that it has."""

from collections.abc import Callable

import onnx_ir as ir
from onnxscript.rewriter.rules import common

from edge_pipeline.runtimes.passes import parts, resizing, splits
from edge_pipeline.runtimes.passes.base import LEFT, Goal
from edge_pipeline.runtimes.passes.einsum import as_matmul
from edge_pipeline.runtimes.passes.graph import QUANTIZERS, Writer, edits, is_quantized, label, stand_in

OLDEST = 68

LACKING: dict[str, tuple[bool, Callable[[Writer, ir.Node], ir.Value | None]]] = {
    "GroupNormalization": (True, parts.group_norm),
    "Celu": (True, parts.celu),
    "Softsign": (True, parts.softsign),
    "ReduceL1": (True, parts.reduce_l1),
    "ReduceSumSquare": (True, parts.reduce_sum_square),
    "ReduceLogSum": (True, parts.reduce_log_sum),
    "Mean": (True, parts.mean),
    "Einsum": (True, as_matmul),
    "Pow": (True, parts.square),
    "LayerNormalization": (False, parts.layer_norm),
    "InstanceNormalization": (False, parts.instance_norm),
    "ReduceL2": (False, parts.reduce_l2),
    "ReduceLogSumExp": (False, parts.reduce_log_sum_exp),
    "Mish": (False, parts.mish),
    "Selu": (False, parts.selu),
    "ThresholdedRelu": (False, parts.thresholded_relu),
    "Sum": (False, parts.sum_of),
}
"""What is replaced, and by what: (on every version of the NPU or on v68 only, replacement).

Source: models of one layer, compiled with onnxruntime-qnn 2.7 (QAIRT 2.51) without fallback to the CPU, in float for
v69 and v73 and as QDQ for v68 and v69. Every version takes as they are, and computes right: HardSwish, HardSigmoid,
Gelu, Softplus, Elu, LpNormalization, ReduceMean, Pow, dilated and large depthwise convolutions, convolutions in three
dimensions, cubic Resize. Pow is here only for squares, for which a product is enough; LayerNormalization over
more than the last axis is lacking everywhere; einsums that are a plain product of matrices have a layer, the MatMul
that comes out here. Nearest-neighbour Resize: see `resizing.TRUSTED`.
"""

MISSING = ("Hardmax", "Shrink", "Trilu")
"""Not on any version, and with no replacement here."""


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Replace layers that the NPU of the goal lacks, join Slices into Splits, and drop needless Expands.

    A layer between quantizers is left: its parts would need ranges that nobody has measured. For a CPU nothing is done.
    """
    if goal.hexagon is None:
        return []
    old = int(goal.hexagon.removeprefix("v")) <= OLDEST
    lines = splits.join_slices(model) + resizing.simplify(model)
    nodes = {id(node): node for node in model.graph}
    if not is_quantized(model):
        common.expand_before_binary_op_rules.apply_to_model(model)
    lines += [f"{node.op_type} {label(node)} is not needed" for node in nodes.values() if node.graph is None]
    for node in list(model.graph):
        if node.op_type in MISSING:
            lines.append(f"{LEFT}{node.op_type} {label(node)}: the NPU has no such layer")
        everywhere, replace = LACKING.get(node.op_type, (False, None))
        if replace is None or node.domain != "" or not (everywhere or old or parts.spans_axes(node)):
            continue
        if _between_quantizers(node):
            lines += [] if node.op_type == "Pow" else [f"{LEFT}{node.op_type} {label(node)}: it is between quantizers"]
            continue
        made = replace(Writer(model, node), node)
        if made is None:
            lines += (
                [] if node.op_type == "Pow" else [f"{LEFT}{node.op_type} {label(node)}: no replacement for its form"]
            )
        elif stand_in(node.outputs[0], made):
            model.graph.remove(node, safe=True)
            lines.append(f"{node.op_type} {label(node)} -> layers that the NPU has")
    return lines


def _between_quantizers(node: ir.Node) -> bool:
    readers = [use.node for value in node.outputs for use in value.uses()]
    makers = [value.producer() for value in node.inputs if value is not None]
    return any(one is not None and one.op_type in QUANTIZERS for one in (*readers, *makers))
