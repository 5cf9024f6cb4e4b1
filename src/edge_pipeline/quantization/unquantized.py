"""Operators that AIMET leaves in float: known by name, so that nobody takes them for quantized."""

from typing import Any

from torch import fx, nn

from edge_pipeline.quantization.structure import moves_values

_ABOUT_TENSORS = {"clone", "detach", "dim", "float", "getattr", "numel", "size", "to"}
"""Calls that ask a tensor for its shape or type, or copy it."""


def leave_unknown_float(prepared: fx.GraphModule) -> None:
    """Tell AIMET to keep modules of classes that it does not know as they are, instead of refusing the network."""
    from aimet_torch.nn import QuantizationMixin

    for node in prepared.graph.nodes:
        if node.op == "call_module":
            kind = type(prepared.get_submodule(str(node.target)))
            if kind not in QuantizationMixin.cls_to_qcls:
                QuantizationMixin.ignore(kind)


def float_operators(model: fx.GraphModule) -> list[str]:
    """Return the operators of a simulation that compute in float, as `name (kind)`, in the order of the graph.

    Those that only move values are not among them, nor parts that are meant to stay float, such as a decoder of boxes.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    return [
        f"{node.target if node.op == 'call_module' else node.name} ({_kind(node, modules)})"
        for node in model.graph.nodes
        if node.op in ("call_module", "call_function", "call_method")
        and not moves_values(node, modules)
        and _kind(node, modules) not in _ABOUT_TENSORS
        and not _quantized(node, modules)
    ]


def _quantized(node: fx.Node, modules: dict[str, Any]) -> bool:
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    return layer is not None and (hasattr(layer, "output_quantizers") or getattr(layer, "stays_float", False))


def _kind(node: fx.Node, modules: dict[str, Any]) -> str:
    if node.op == "call_module":
        layer: nn.Module = modules[str(node.target)]
        return type(layer).__name__
    return getattr(node.target, "__name__", str(node.target))
