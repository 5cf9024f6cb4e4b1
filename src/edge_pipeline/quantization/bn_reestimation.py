"""Estimate the statistics of batch norms again, on the network as quantized weights make it.

AIMET describes it as batch-norm re-estimation; its implementation is used.
"""

from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.core.quiet import quiet
from edge_pipeline.quantization.data import Batches, forward


@torch.no_grad()
def reestimate_batch_norms(sim: Any, unfolded: fx.GraphModule, batches: Batches) -> list[str]:
    """Fold fresh statistics into the layers of a calibrated simulation; return the names of these layers.

    Where each output channel has its scale, the integers of the weights stay as they are: scales and biases change. A
    weight with one range gets another range and other integers. Ranges of activations have to be found again.

    Args:
        sim: a calibrated simulation of the folded network, whose channels were not equalized; changed in place.
        unfolded: the same float network, traced with its batch norms; changed.
        batches: inputs like those of training, in the network's own distribution.
    """
    from aimet_torch.bn_reestimation import reestimate_bn_stats

    changed = {}
    for name, norm in _pairs(unfolded):
        layer: Any = sim.model.get_submodule(name)
        own: Any = unfolded.get_submodule(name)
        quantizer = layer.param_quantizers["weight"]
        gain = _gain(norm)
        if quantizer is None or bool((gain.abs() < 1e-12).any()):
            continue
        with quiet():
            own.weight.copy_(quantizer(layer.weight) / _by_channel(gain, own.weight))
        changed[name] = (layer, own, norm, norm.running_var.clone())
    with quiet():
        reestimate_bn_stats(unfolded, batches, len(batches), forward)
    for layer, own, norm, variance in changed.values():
        ratio = torch.sqrt((variance + norm.eps) / (norm.running_var + norm.eps))
        quantizer = layer.param_quantizers["weight"]
        layer.weight.mul_(_by_channel(ratio, layer.weight))
        if quantizer.min.numel() == ratio.numel():
            shaped = ratio.reshape(quantizer.min.shape)
            quantizer.set_range(quantizer.min * shaped, quantizer.max * shaped)
        else:
            with quantizer.compute_encodings():
                quantizer(layer.weight)
        start = own.bias if own.bias is not None else torch.zeros_like(norm.running_mean)
        layer.bias.copy_(norm.bias + (start - norm.running_mean) * _gain(norm))
    return list(changed)


def _pairs(unfolded: fx.GraphModule) -> list[tuple[str, Any]]:
    """Return the layers that nothing but a batch norm follows, by name, each with its norm."""
    modules: dict[str, Any] = dict(unfolded.named_modules())
    found = []
    for node in unfolded.graph.nodes:
        if node.op != "call_module" or len(node.users) != 1:
            continue
        (user,) = node.users
        norm = modules.get(str(user.target)) if user.op == "call_module" else None
        if isinstance(modules[str(node.target)], nn.Conv2d | nn.Linear) and isinstance(
            norm, nn.BatchNorm2d | nn.BatchNorm1d
        ):
            found.append((str(node.target), norm))
    return found


def _gain(norm: Any) -> torch.Tensor:
    gain: torch.Tensor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return gain


def _by_channel(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, *[1] * (weight.ndim - 1))
