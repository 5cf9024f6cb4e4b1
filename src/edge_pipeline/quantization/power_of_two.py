"""Weight scales with which the NPU brings sums back to 8 bits by a shift, without an error of its own.

A layer's sums have the scale of its input times that of its weights; dividing by the scale of its output gives the
factor of the rescaling. Hexagon NPUs multiply by it with few bits behind the point: as its emulator shows, v68 gives 3
to 8% of a convolution's integers a step too low, v73 to v79 1% too low and 1% too high, and where the factor is a power
of two (nearly) none. Weights have bits to spare for it where activations have 8.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.quantization.layout import places_read, places_written

BITS = 8

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@torch.no_grad()
def make_rescaling_exact(model: fx.GraphModule) -> list[str]:
    """Change the weight scales of a calibrated simulation so that every factor is a power of two; return the layers.

    Of the two powers around the factor, each channel gets the one whose weights err less. Left as they are: layers
    whose input, weights or output have not 8 bits, and weights whose scales were frozen, since their roundings were
    learned for them.
    """
    modules: dict[str, Any] = dict(model.named_modules())
    changed = []
    for node in model.graph.nodes:
        layer: Any = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(layer, _LAYERS):
            continue
        weights = getattr(layer, "param_quantizers", {"weight": None})["weight"]
        scales = [_scale(places) for places in (places_read(node, modules), places_written(node, modules))]
        if _is_free(weights) and all(scales):
            _choose(weights, layer.weight, *scales)
            changed.append(str(node.target))
    return changed


def _is_free(weights: Any) -> bool:
    return weights is not None and weights.bitwidth == BITS and weights.is_initialized() and weights._allow_overwrite


def _scale(places: Iterator[tuple[Any, Any]]) -> float:
    """Return the scale of the one quantizer of 8 bits at `places`, or 0."""
    found = {id(holder[key]): holder[key] for holder, key in places}
    if len(found) != 1:
        return 0.0
    (quantizer,) = found.values()
    return float(quantizer.get_scale()) if quantizer.bitwidth == BITS and quantizer.is_initialized() else 0.0


def _choose(quantizer: Any, weight: torch.Tensor, scale_in: float, scale_out: float) -> None:
    low, high = quantizer.get_min().clone(), quantizer.get_max().clone()
    scale = quantizer.get_scale().double()
    exponent = torch.log2(scale * scale_in / scale_out).ceil()
    coarse = torch.exp2(exponent) * scale_out / scale_in / scale
    errors = []
    for factor in (coarse, coarse / 2):
        quantizer.set_range((low * factor).float(), (high * factor).float())
        errors.append((quantizer(weight) - weight).square().sum_to_size(scale.shape))
    best = torch.where(errors[0] <= errors[1], coarse, coarse / 2)
    quantizer.set_range((low * best).float(), (high * best).float())
