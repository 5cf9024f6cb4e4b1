"""Which quantizers a simulation has, and which tensors share one: as the NPU and the integer runtimes compute.

Only the graph decides, never a number, so a simulation that is built again has the same structure.
"""

import copy
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

_FUNCTIONS = {
    operator.getitem,
    torch.split,
    torch.chunk,
    torch.flatten,
    torch.reshape,
    torch.permute,
    torch.transpose,
    torch.squeeze,
    torch.unsqueeze,
}
_METHODS = {
    "chunk",
    "contiguous",
    "expand",
    "flatten",
    "permute",
    "repeat",
    "reshape",
    "split",
    "squeeze",
    "transpose",
    "unsqueeze",
    "view",
}
_MODULES = {
    "ChannelShuffle",
    "Concat",
    "DepthToSpaceCRDMode",
    "DepthToSpaceDCRMode",
    "Expand",
    "Interpolate",
    "Pad",
    "Permute",
    "Reshape",
    "Split",
    "StridedSlice",
    "Tile",
}
"""AIMET's own modules."""

_FIXED = {"Sigmoid": 0.0, "Softmax": 0.0, "Tanh": -1.0}
"""Outputs whose range LiteRT's integer kernels demand: from here to the last step before 1. NPUs use the same."""

_TORCH_MODULES = (
    nn.ChannelShuffle,
    nn.Dropout,
    nn.Flatten,
    nn.Identity,
    nn.MaxPool2d,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.Unflatten,
    nn.Upsample,
    nn.ZeroPad2d,
)


def settle(model: fx.GraphModule) -> None:
    """Change the quantizers of a simulation that has not been calibrated.

    - A depthwise convolution has no quantizer before its ReLU, ReLU6 or clamp: they run as one operator.
    - SiLU has one quantizer at its end, not two.
    - Sigmoid, softmax and tanh have the fixed range of LiteRT's integer kernels, which other ranges cannot load.
    - Operators that only move, choose or blend values (concatenation, pooling of maxima, upsampling, split, slice,
      padding, reshape) give their outputs the quantizer of their inputs, and all inputs of a concatenation share it.
      LiteRT demands it, the NPU saves a conversion, and AIMET needs it to give the bias after such an operator its
      exact scale, without which neither ONNX Runtime nor the NPU runs the layer on integers.
    """
    modules = dict(model.named_modules())
    for node in model.graph.nodes:
        if node.op == "call_module":
            _fuse_depthwise(node, modules)
            _drop_inner_quantizer(modules[node.target])
    for layer in modules.values():
        if _fixed(layer):
            _outputs(layer)[0] = copy.deepcopy(_outputs(layer)[0])
    for members in _groups(model.graph, modules):
        _share(members, modules)


def _fuse_depthwise(node: fx.Node, modules: dict[str, Any]) -> None:
    layer = modules[str(node.target)]
    if not isinstance(layer, nn.Conv2d) or layer.groups == 1 or len(node.users) != 1:
        return
    (user,) = node.users
    if user.op == "call_module" and isinstance(modules[str(user.target)], nn.ReLU | nn.Hardtanh):
        _outputs(layer)[0] = None


def _drop_inner_quantizer(layer: Any) -> None:
    if _kind(layer) == "CustomSiLU" and layer.output_quantizers[0] is not None:
        layer.mul.output_quantizers[0] = None


def fix_ranges(model: nn.Module) -> None:
    """Set the ranges that calibration must not choose, once all numbers of bits are known."""
    for layer in model.modules():
        if _fixed(layer):
            quantizer, low = _outputs(layer)[0], _FIXED[_kind(layer)]
            quantizer.set_range(low, 1 - (1 - low) / 2**quantizer.bitwidth)
            quantizer.allow_overwrite(False)


def fix_pixels(model: Any) -> None:
    """Give the first input of a simulated network the range 0 to 255, so that a pixel value is its own integer."""
    node = next(node for node in model.graph.nodes if node.op == "placeholder")
    for holder, index in _slots(node, dict(model.named_modules())):
        holder[index].set_range(0, 255)
        holder[index].allow_overwrite(False)


def _fixed(layer: Any) -> bool:
    return _kind(layer) in _FIXED and _outputs(layer)[0] is not None


def _groups(graph: fx.Graph, modules: dict[str, Any]) -> list[list[fx.Node]]:
    """Return the nodes whose outputs share one quantizer, in the order of the graph; groups of one are left out."""
    parent: dict[fx.Node, fx.Node] = {}

    def root(node: fx.Node) -> fx.Node:
        while node in parent:
            node = parent[node]
        return node

    for node in graph.nodes:
        if moves_values(node, modules):
            for source in node.all_input_nodes:
                if root(source) is not root(node):
                    parent[root(source)] = root(node)
    found: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.nodes:
        found.setdefault(root(node), []).append(node)
    return [members for members in found.values() if len(members) > 1]


def moves_values(node: fx.Node, modules: dict[str, Any]) -> bool:
    """Whether an operator only moves, chooses or blends values, so that its output needs no range of its own."""
    if node.op == "call_module":
        layer = modules[str(node.target)]
        return isinstance(layer, _TORCH_MODULES) or _kind(layer) in _MODULES
    return (node.op == "call_function" and node.target in _FUNCTIONS) or (
        node.op == "call_method" and node.target in _METHODS
    )


def _share(members: list[fx.Node], modules: dict[str, Any]) -> None:
    slots = [slot for node in members for slot in _slots(node, modules)]
    found = [quantizer for holder, index in slots if (quantizer := holder[index]) is not None]
    if not found:
        return
    chosen = found[-1]
    if any(quantizer is not chosen for quantizer in found):
        chosen.allow_overwrite(True)
    for holder, index in slots:
        holder[index] = chosen


def _slots(node: fx.Node, modules: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """Yield where the quantizers of what `node` makes are kept: at its end, or where an input of the network enters."""
    if node.op == "placeholder":
        for user in node.users:
            holder = getattr(modules.get(str(user.target)), "input_quantizers", None)
            for index, source in enumerate(user.args):
                if holder is not None and source is node and index < len(holder) and holder[index] is not None:
                    yield holder, index
    elif node.op == "call_module":
        layer = modules[str(node.target)]
        if len(_outputs(layer)) == 1 and _kind(layer) not in _FIXED:
            yield _outputs(layer), 0


def _kind(layer: Any) -> str:
    return type(layer).__name__.removeprefix("Quantized")


def _outputs(layer: Any) -> Any:
    return getattr(layer, "output_quantizers", ())
