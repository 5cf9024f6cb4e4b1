"""Which number formats a simulation has: everything but the numbers themselves."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import fx, nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.types import Precision

Scheme = Literal["min_max", "tf_enhanced", "percentile", "mse"]


@dataclass(frozen=True)
class Layout:
    """Number formats of a simulation; the same network and layout give the same structure.

    Attributes:
        weight_bits: of every layer that `overrides` does not name.
        activation_bits: of every tensor that no layer of `overrides` reads or writes.
        overrides: precision of single layers, by their names in the traced network.
        scheme: how ranges are found: `min_max`, `tf_enhanced` (AIMET's weighting of clipping against rounding),
            `percentile`, or `mse` (smallest mean squared error).
        percentile: the share, in percent, that stays inside a range; for the scheme `percentile`.
        hexagon: the version of the NPU whose fusions AIMET follows, `v73`.
        per_channel: whether each output channel of a weight has a range of its own.
        power_of_two: whether weight scales are chosen so that NPUs rescale by shifts.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    overrides: Mapping[str, str] = field(default_factory=dict)
    scheme: Scheme = "tf_enhanced"
    percentile: float = 99.99
    hexagon: str = "v73"
    per_channel: bool = True
    power_of_two: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what is kept beside a simulation, from which `Layout(**...)` makes it again."""
        return asdict(self)


def layers(model: fx.GraphModule) -> list[str]:
    """Return the names of the layers that have weights or compute, in the order of the graph."""
    modules = dict(model.named_modules())
    return [str(node.target) for node in model.graph.nodes if node.op == "call_module" and _counts(modules, node)]


def apply_overrides(model: fx.GraphModule, overrides: Mapping[str, str]) -> None:
    """Give single layers, with the tensors that they read and write, the precision of their override.

    A tensor that two overrides concern gets the finer of the two formats, `float` being the finest; none becomes
    coarser than the layout has it, for the layers beside an override read and write it too.

    Raises:
        QuantizationError: no layer has such a name.
    """
    known = layers(model)
    for name in overrides:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(repr(one) for one in close)}?" if close else f"there are {len(known)}."
            raise QuantizationError(
                f"quantize.overrides: the network has no layer '{name}'; {hint} The names are those of the "
                "sensitivity report."
            )
    modules = dict(model.named_modules())
    nodes = {str(node.target): node for node in model.graph.nodes if node.op == "call_module"}
    wanted: dict[int, tuple[Any, list[tuple[Any, Any]], int]] = {}
    for name, value in overrides.items():
        bits = Precision(value).bits
        weight_bits, activation_bits = bits or (32, 32)
        _set_weight(modules[name], weight_bits)
        for holder, key in (*places_read(nodes[name], modules), *places_written(nodes[name], modules)):
            quantizer = holder[key]
            _, places, before = wanted.get(id(quantizer), (quantizer, [], 0))
            wanted[id(quantizer)] = (quantizer, [*places, (holder, key)], max(before, activation_bits))
    for quantizer, _, activation_bits in wanted.values():
        if activation_bits == 32:
            _remove(model, quantizer)
        elif quantizer.bitwidth < activation_bits:
            quantizer.bitwidth = activation_bits


def quantizer_slots(layer: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Yield (holder, key) of every quantizer that a layer has."""
    for holder in (getattr(layer, "input_quantizers", ()), getattr(layer, "output_quantizers", ())):
        for index, quantizer in enumerate(holder):
            if quantizer is not None:
                yield holder, index
    weights: Any = getattr(layer, "param_quantizers", {})
    for key in weights:
        if weights[key] is not None:
            yield weights, key


def _counts(modules: Mapping[str, Any], node: fx.Node) -> bool:
    return any(True for _ in quantizer_slots(modules[str(node.target)]))


def _set_weight(layer: Any, bits: int) -> None:
    weights = layer.param_quantizers
    for key in weights:
        if weights[key] is not None:
            if bits == 32:
                weights[key] = None
            else:
                weights[key].bitwidth = bits


def _remove(model: nn.Module, quantizer: Any) -> None:
    for layer in model.modules():
        for holder, key in list(quantizer_slots(layer)):
            if holder[key] is quantizer:
                holder[key] = None


def places_written(node: fx.Node, modules: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the place of the quantizer of what a layer gives: its own, or that of the activation fused with it."""
    found = list(_outputs(node, modules))
    if not found and len(node.users) == 1:
        (user,) = node.users
        found = list(places_written(user, modules)) if user.op != "output" else []
    yield from found


def places_read(node: fx.Node, modules: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the places of the quantizers of what a layer takes: its own, or those of the layers before it."""
    layer = modules[str(node.target)]
    own = [(layer.input_quantizers, index) for index, one in enumerate(layer.input_quantizers) if one is not None]
    yield from own
    for source in node.all_input_nodes:
        if source.op != "placeholder":
            yield from _made(source, modules)


def _made(node: fx.Node, modules: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    found = list(_outputs(node, modules))
    if found or node.op == "placeholder":
        yield from found
        return
    for source in node.all_input_nodes:
        yield from _made(source, modules)


def _outputs(node: fx.Node, modules: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    holder = getattr(modules.get(str(node.target)), "output_quantizers", ()) if node.op == "call_module" else ()
    for index, quantizer in enumerate(holder):
        if quantizer is not None:
            yield holder, index
