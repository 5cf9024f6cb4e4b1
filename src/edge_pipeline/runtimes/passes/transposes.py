"""Cancel transposes against each other, also with other operators between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules import common

from edge_pipeline.runtimes.passes.axes import reorder, reorders
from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import Writer, constant, edits, is_quantized, label, stand_in, static

MERGING = RewriteRuleSet([common.transpose_transpose_rule, common.no_op_transpose_rule])

Perm = tuple[int, ...]


@dataclass
class _Region:
    """Operators between transposes, which could run on the tensors as they are before the first transposes.

    Attributes:
        perm: of the transposes where it begins.
        entries: those transposes.
        nodes: the operators.
        exits: transposes at its end.
        kept: tensors that something outside needs transposed.
        foreign: tensors that come in not transposed.
    """

    perm: Perm
    entries: list[ir.Node] = field(default_factory=list)
    nodes: list[ir.Node] = field(default_factory=list)
    exits: list[ir.Node] = field(default_factory=list)
    kept: list[ir.Value] = field(default_factory=list)
    foreign: list[ir.Value] = field(default_factory=list)

    @property
    def gain(self) -> int:
        """How many transposes fewer there would be."""
        begun = {id(node.outputs[0]) for node in self.entries}
        still_needed = {id(value) for value in self.kept}
        added = len(still_needed - begun) + len(self.foreign)
        inverse = _inverse(self.perm)
        return len(begun - still_needed) + sum(perm_of(node) == inverse for node in self.exits) - added

    @property
    def closed(self) -> bool:
        """Whether no transpose has to be added."""
        begun = {id(node.outputs[0]) for node in self.entries}
        return not self.foreign and all(id(value) in begun for value in self.kept)


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Merge transposes in a row; let operators between two run on the other layout where this saves transposes.

    In a QDQ model no transpose is added elsewhere, since it would lie between a layer and its quantizers.
    """
    before = {id(node): node for node in model.graph if node.op_type == "Transpose"}
    for _ in range(len(before) + 1):
        MERGING.apply_to_model(model)
        RemoveUnusedNodesPass()(model)
        transposes = [node for node in model.graph if node.op_type == "Transpose"]
        regions = (_region(model, node) for node in transposes)
        closed_only = is_quantized(model)
        found = next((one for one in regions if one and one.gain > 0 and (one.closed or not closed_only)), None)
        if found is None:
            break
        _rewrite(model, found)
    left = {id(node) for node in model.graph}
    return [f"Transpose {label(node)} is cancelled" for key, node in before.items() if key not in left]


def perm_of(node: ir.Node) -> Perm:
    """Return the permutation of a Transpose."""
    rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 0
    return tuple(node.attributes.get_ints("perm", list(range(rank))[::-1]))


def _inverse(perm: Sequence[int]) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


def _region(model: ir.Model, start: ir.Node) -> _Region | None:
    """Return all that can be reached from a transpose; `None` if it cannot be judged."""
    found = _Region(perm_of(start))
    seen: set[int] = set()
    open_values = [start.outputs[0]]
    while open_values:
        value = open_values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        source = value.producer()
        if source is not None and source.op_type == "Transpose":
            found.entries.append(source)
        if value.is_graph_output():
            found.kept.append(value)
        for use in value.uses():
            node = use.node
            if node.graph is not model.graph:
                return None
            if node.op_type == "Transpose":
                found.exits.append(node)
            elif not reorders(node, use.idx, found.perm):
                found.kept.append(value)
            elif node not in found.nodes:
                found.nodes.append(node)
                open_values += node.outputs
                open_values += [
                    one
                    for one in node.inputs
                    if one is not None and _varies(one) and (_enters(one, found.perm) or one.producer() in found.nodes)
                ]
    found.foreign = list(
        {id(one): one for node in found.nodes for one in node.inputs if one is not None and _varies(one)}.values()
    )
    found.foreign = [one for one in found.foreign if id(one) not in seen]
    return found


def _varies(value: ir.Value) -> bool:
    """Tell whether a tensor takes part in the layout: it is no constant and no single number."""
    shape = static(value)
    return constant(value) is None and not (shape is not None and all(size == 1 for size in shape) and not shape[1:])


def _enters(value: ir.Value, perm: Perm) -> bool:
    node = value.producer()
    return node is not None and node.op_type == "Transpose" and perm_of(node) == perm


def _rewrite(model: ir.Model, region: _Region) -> None:
    perm, inverse = region.perm, _inverse(region.perm)
    plain: dict[int, ir.Value | None] = {id(node.outputs[0]): node.inputs[0] for node in region.entries}
    inside = {id(node) for node in [*region.nodes, *region.exits]}
    order = {id(node): place for place, node in enumerate(model.graph)}
    for value in {id(one): one for one in region.foreign}.values():
        reader = min((node for node in region.nodes if value in node.inputs), key=lambda node: order[id(node)])
        plain[id(value)] = Writer(model, reader).op("Transpose", value, perm=inverse)
    for node in sorted(region.nodes, key=lambda node: order[id(node)]):
        reorder(Writer(model, node), node, perm)
        for index, given in enumerate(node.inputs):
            if id(given) in plain:
                node.replace_input_with(index, plain[id(given)])
        for value in node.outputs:
            if value.shape is not None:
                value.shape = ir.Shape([value.shape[axis] for axis in inverse])
    for value in {id(one): one for one in region.kept}.values():
        if id(value) not in plain:
            _transpose_for_others(model, value, perm, inside)
    for node in region.exits:
        before = node.inputs[0]
        source = plain.get(id(before), before)
        composed = tuple(perm[axis] for axis in perm_of(node))
        if source is None or (composed == tuple(sorted(composed)) and stand_in(node.outputs[0], source)):
            continue
        node.replace_input_with(0, source)
        node.attributes["perm"] = ir.AttrInt64s("perm", composed)


def _transpose_for_others(model: ir.Model, value: ir.Value, perm: Perm, inside: set[int]) -> None:
    """Give readers outside of a region, and the model's output, the tensor as it was."""
    source = value.producer()
    assert source is not None
    made = ir.Node("", "Transpose", [value], [ir.AttrInt64s("perm", perm)], name=f"{value.name}_transposed")
    model.graph.insert_after(source, made)
    made.outputs[0].type = value.type
    made.outputs[0].name = f"{value.name}_transposed"
    for use in list(value.uses()):
        if id(use.node) not in inside and use.node is not made:
            use.node.replace_input_with(use.idx, made.outputs[0])
    if value.is_graph_output():
        name, value.name = value.name, f"{value.name}_plain"
        made.outputs[0].name = name
        made.outputs[0].shape = ir.Shape([value.shape[axis] for axis in perm]) if value.shape is not None else None
        model.graph.outputs[list(model.graph.outputs).index(value)] = made.outputs[0]
