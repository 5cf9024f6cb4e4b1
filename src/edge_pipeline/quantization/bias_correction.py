"""Take out of every layer the mean error that quantization brings into its output.

Empirical bias correction of Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.quantization.data import Batches

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


@torch.no_grad()
def correct_biases(model: nn.Module, prepared: fx.GraphModule, batches: Batches) -> list[str]:
    """Add to each bias what its layer's mean output differs from the float layer's; return the layers' names.

    A layer is corrected after those before it, in one pass over the batches: each layer's output is shifted as it is
    computed. Means are taken over each batch and averaged, so batches should be large. Activations are not quantized
    meanwhile: a mean that clipping has moved must not be moved back, which would shift all other values.

    Args:
        model: the network of a calibrated simulation, changed in place.
        prepared: the float network of which it was made.
        batches: inputs to compare on.
    """
    from aimet_torch.utils import remove_activation_quantizers

    names = [
        name
        for name, layer in prepared.named_modules()
        if isinstance(layer, _LAYERS) and getattr(model.get_submodule(name), "bias", None) is not None
    ]
    shifts: dict[str, torch.Tensor] = {}
    with remove_activation_quantizers(model):
        for count, inputs in enumerate(batches, start=1):
            wanted = _means(prepared, names, inputs)
            _shift(model, names, inputs, wanted, shifts, count)
    for name, shift in shifts.items():
        layer: Any = model.get_submodule(name)
        layer.bias.add_(shift)
    return list(shifts)


def _means(net: nn.Module, names: list[str], inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: Any, _: Any, output: torch.Tensor) -> None:
            found[name] = _channel_mean(layer, output)

        return hook

    hooks = [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    net(*inputs)
    for hook in hooks:
        hook.remove()
    return found


def _shift(
    model: nn.Module,
    names: list[str],
    inputs: tuple[torch.Tensor, ...],
    wanted: Mapping[str, torch.Tensor],
    shifts: dict[str, torch.Tensor],
    count: int,
) -> None:
    """Update the running mean of every layer's shift with one batch more."""

    def correct(name: str) -> Any:
        def hook(layer: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
            missing = wanted[name] - _channel_mean(layer, output)
            before = shifts.get(name, torch.zeros_like(missing))
            shifts[name] = before + (missing - before) / count
            return output + shifts[name].reshape(_shape(layer, output))

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(correct(name)) for name in names if name in wanted]
    model(*inputs)
    for hook in hooks:
        hook.remove()


def _channel_mean(layer: Any, output: torch.Tensor) -> torch.Tensor:
    axis = output.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return output.mean([one for one in range(output.ndim) if one != axis])


def _shape(layer: Any, output: torch.Tensor) -> list[int]:
    axis = output.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return [-1 if one == axis else 1 for one in range(output.ndim)]
