"""What the passes share: reading constants, adding nodes, letting one tensor take the place of another."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from edge_pipeline.runtimes.passes.base import LEFT, Goal

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")

MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "DepthToSpace", "SpaceToDepth")
"""Operators that only move numbers, on their first input."""


def edits(function: Callable[[ir.Model, Goal], list[str]]) -> Callable[[onnx.ModelProto, Goal], list[str]]:
    """Let a function on the intermediate representation change an ONNX model in place; what is unused goes."""

    @functools.wraps(function)
    def apply(model: onnx.ModelProto, goal: Goal) -> list[str]:
        inside = ir.from_proto(model)
        lines = function(inside, goal)
        if any(not line.startswith(LEFT) for line in lines):
            RemoveUnusedNodesPass()(inside)
            TopologicalSortPass()(inside)
            model.CopyFrom(ir.to_proto(inside))
        return lines

    return apply


def is_quantized(model: onnx.ModelProto | ir.Model) -> bool:
    """Tell whether a model has quantizers."""
    nodes = model.graph.node if isinstance(model, onnx.ModelProto) else model.graph
    return any(node.op_type in QUANTIZERS for node in nodes)


def opset(model: ir.Model) -> int:
    """Return the version of ONNX's own operators."""
    return model.graph.opset_imports.get("", 1)


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """Return a constant, also behind Identity; `None` if it is none, or an input could replace it."""
    while value is not None and (node := value.producer()) is not None and node.op_type == "Identity":
        value = node.inputs[0]
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """Return a constant of one number."""
    found = constant(value)
    return float(found.reshape(())) if found is not None and found.size == 1 else None


def maker(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """Return the node that makes a tensor if it is of one of the kinds."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.domain == "" and node.op_type in kinds else None


def static(value: ir.Value | None) -> tuple[int, ...] | None:
    """Return the shape of a tensor if all of it is known."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def private(value: ir.Value) -> bool:
    """Tell whether a tensor has one reader and is no output of the model."""
    return len(value.uses()) == 1 and not value.is_graph_output()


def whole(node: ir.Node, name: str, default: int) -> int:
    """Return an attribute that is an integer."""
    return int(node.attributes.get_int(name, default))


def label(node: ir.Node) -> str:
    """Return how a report names a node."""
    return node.name or f"{node.op_type} of {node.outputs[0].name}"


def same_quantizer(first: ir.Node, second: ir.Node) -> bool:
    """Tell whether two QuantizeLinear or DequantizeLinear nodes have equal scales and zero points."""
    for one, other in zip((*first.inputs[1:3], None), (*second.inputs[1:3], None), strict=False):
        a, b = constant(one), constant(other)
        if (a is None) != (b is None) or (a is not None and b is not None and not np.array_equal(a, b)):
            return False
    return len(first.inputs) == len(second.inputs)


def stand_in(old: ir.Value, new: ir.Value) -> bool:
    """Let every reader of `old` read `new`. The name of an output of the model goes over to `new`.

    Returns:
        False, and nothing is changed, where `new` has a name of its own to keep: it is an input, a constant or another
        output of the model.
    """
    if old.is_graph_output():
        if new.is_graph_output() or new.is_graph_input() or new.is_initializer():
            return False
        name, old.name = old.name, f"{old.name}_replaced"
        new.name = name
        new.type, new.shape = old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    return True


class Writer:
    """Adds nodes and constants before a node."""

    def __init__(self, model: ir.Model, before: ir.Node) -> None:
        self._graph, self._before = model.graph, before
        self._stem = before.outputs[0].name or before.op_type
        self._taken = {one.name for node in self._graph for one in node.outputs} | set(self._graph.initializers)
        self._taken |= {one.name for one in self._graph.inputs}

    def several(self, count: int, kind: str, *inputs: ir.Value | None, **attributes: Any) -> Sequence[ir.Value]:
        """Add a node and return its outputs."""
        given = [ir.convenience.convert_attribute(name, value) for name, value in attributes.items()]
        node = ir.Node("", kind, list(inputs), given, num_outputs=count, name=self._free(f"{self._stem}_{kind}"))
        for index, one in enumerate(node.outputs):
            one.name = self._free(f"{node.name}_{index}" if count > 1 else f"{node.name}_out")
            if inputs and inputs[0] is not None:
                one.type = inputs[0].type
        self._graph.insert_before(self._before, node)
        return node.outputs

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Add a node of one output and return it."""
        return self.several(1, kind, *inputs, **attributes)[0]

    def constant(self, values: NDArray[Any] | Iterable[int], name: str = "constant") -> ir.Value:
        """Add a constant; integers become int64."""
        array = values if isinstance(values, np.ndarray | np.generic) else np.asarray(list(values), np.int64)
        tensor = ir.tensor(np.array(array, order="C"), name=self._free(f"{self._stem}_{name}"))
        kind = ir.TensorType(tensor.dtype)
        made = ir.Value(name=tensor.name, shape=ir.Shape(array.shape), type=kind, const_value=tensor)
        self._graph.register_initializer(made)
        return made

    def _free(self, name: str) -> str:
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._taken.add(free)
        return free
