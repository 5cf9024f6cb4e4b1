"""Ranges of what an activation function takes, chosen by what comes out of it.

SiLU, sigmoid, hard-swish and their like are flat far from zero: numbers there can be clipped, and the integers that
this frees make the steps finer where the function is steep. Half of a symmetric range is spent on numbers that SiLU
turns into almost nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from aimet_torch.quantization.encoding_analyzer import SqnrEncodingAnalyzer
from torch import fx
from torch.nn import functional

from edge_pipeline.quantization.layout import quantizer_slots

CLIPPING = 3.0
"""How much dearer an error of clipping is than one of rounding: it has the same sign in all positions, so the next
layer's sum does not average it out. AIMET's `tf_enhanced` has the same factor."""

Function = Callable[[torch.Tensor], torch.Tensor]

_FUNCTIONS: dict[str, Function] = {
    "CustomSiLU": functional.silu,
    "ELU": functional.elu,
    "GELU": functional.gelu,
    "Hardsigmoid": functional.hardsigmoid,
    "Hardswish": functional.hardswish,
    "Mish": functional.mish,
    "ReLU": functional.relu,
    "ReLU6": functional.relu6,
    "SiLU": functional.silu,
    "Sigmoid": torch.sigmoid,
    "Softplus": functional.softplus,
    "Tanh": torch.tanh,
}


class BehindActivation(SqnrEncodingAnalyzer):  # type: ignore[misc]
    """Takes the range with the smallest squared error of `function` of the numbers."""

    def __init__(self, shape: Any, function: Function) -> None:
        super().__init__(shape, asymmetric_delta_candidates=33, offset_candidates=41, gamma=CLIPPING)
        self._function = function

    def _estimate_clip_and_quant_noise(
        self, stats: Any, test_deltas: torch.Tensor, test_offsets: torch.Tensor, num_steps: int, p: float, gamma: float
    ) -> torch.Tensor:
        """Return the error of every candidate, shape (histograms, scales, offsets)."""
        counts = torch.stack([one.histogram for one in stats])[:, None, None, :]
        edges = torch.stack([one.bin_edges for one in stats])
        numbers = ((edges[:, 1:] + edges[:, :-1]) / 2)[:, None, None, :]
        scales, offsets = test_deltas[..., None], test_offsets[..., None]
        integers = (numbers / scales - offsets).round()
        kept = integers.clamp(0, num_steps)
        errors = (self._function((kept + offsets) * scales) - self._function(numbers)).abs() ** p
        return (errors * counts * torch.where(kept == integers, 1.0, gamma)).sum(-1)


def before_activations(model: fx.GraphModule) -> Iterator[tuple[Any, Function]]:
    """Yield each quantizer of a simulation whose numbers nothing but one kind of activation reads, with its function.

    Quantizers that several tensors share are left out.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    places = [id(holder[key]) for layer in modules.values() for holder, key in quantizer_slots(layer)]
    for node in model.graph.nodes:
        quantizers = list(getattr(modules.get(str(node.target)), "output_quantizers", ()))
        kinds = {_kind(user, modules) for user in node.users}
        if node.op != "call_module" or len(quantizers) != 1 or len(kinds) != 1:
            continue
        function = _FUNCTIONS.get(kinds.pop())
        if function and quantizers[0] is not None and places.count(id(quantizers[0])) == 1:
            yield quantizers[0], function


def _kind(node: fx.Node, modules: dict[str, Any]) -> str:
    return type(modules[str(node.target)]).__name__.removeprefix("Quantized") if node.op == "call_module" else ""
