"""Drop what nothing uses, what changes nothing, and copies."""

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    DeduplicateHashedInitializersPass,
    RemoveUnusedNodesPass,
)
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules import common

from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import edits, is_quantized, label, scalar, stand_in

IDLE = RewriteRuleSet(
    [
        common.add_0_rule,
        common.sub_0_rule,
        common.mul_by_1_rule,
        common.div_by_1_rule,
        common.no_op_cast_rule,
        common.no_op_expand_rule,
        common.no_op_transpose_rule,
    ]
)


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Drop unused nodes, constants and optional outputs, operators that do nothing, and equal constants and nodes.

    Outputs of the model stay, all under their names. In a QDQ model equal nodes and constants stay too: each layer
    keeps quantizers of its own, as engines look for them. ONNX Runtime 1.32 on x86 fails on zero points of weights that
    layers share.
    """
    nodes = {id(node): node for node in model.graph}
    constants, outputs = set(model.graph.initializers), _used_outputs(model)
    RemoveUnusedNodesPass()(model)
    unused = nodes.keys() - {id(node) for node in model.graph}
    IDLE.apply_to_model(model)
    for node in [node for node in model.graph if _passes_on(node)]:
        source = node.inputs[0]
        if source is not None and stand_in(node.outputs[0], source):
            model.graph.remove(node, safe=True)
    idle = nodes.keys() - {id(node) for node in model.graph} - unused
    if not is_quantized(model):
        DeduplicateHashedInitializersPass()(model)
        CommonSubexpressionEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    copies = nodes.keys() - {id(node) for node in model.graph} - unused - idle
    lines = [
        f"{nodes[key].op_type} {label(nodes[key])} {why}"
        for keys, why in ((unused, "is not used"), (idle, "changes nothing"), (copies, "is a copy, or not used"))
        for key in nodes
        if key in keys
    ]
    gone = len(constants - set(model.graph.initializers))
    lines += [f"{gone} constants are copies or not used"] if gone else []
    dropped = outputs - _used_outputs(model) - sum(len(node.outputs) for node in nodes.values() if node.graph is None)
    return lines + ([f"{dropped} outputs of nodes are not used"] if dropped > 0 else [])


def _passes_on(node: ir.Node) -> bool:
    """Tell whether a node gives its input: an Identity, or a Dropout outside of training."""
    if node.op_type == "Identity":
        return node.domain == ""
    training = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    asked = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
    return node.op_type == "Dropout" and not asked and (training is None or scalar(training) == 0)


def _used_outputs(model: ir.Model) -> int:
    return sum(bool(value.name) for node in model.graph for value in node.outputs)
