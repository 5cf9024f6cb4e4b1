"""Put layers in place of others that compute the same, so that the runtimes run them on integers."""

from typing import Any

import torch
from torch import fx, nn


def without_transposed_convolutions(net: nn.Module) -> None:
    """Replace each transposed convolution whose windows do not overlap by a 1x1 convolution and a pixel shuffle.

    Neither ONNX Runtime nor LiteRT's converter has a transposed convolution on integers.
    """
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ConvTranspose2d) and _tiles(child):
                setattr(module, name, _as_shuffle(child))


def without_identities(traced: Any) -> fx.GraphModule:
    """Erase the `nn.Identity` that folding leaves behind: it breaks AIMET's Conv + ReLU groups."""
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), nn.Identity):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()
    module: fx.GraphModule = traced
    return module


def _tiles(layer: nn.ConvTranspose2d) -> bool:
    """Tell whether each input pixel alone makes a square of output pixels."""
    height, width = layer.kernel_size
    return (
        height == width
        and tuple(layer.stride) == (height, width)
        and not any((*layer.padding, *layer.output_padding))
        and tuple(layer.dilation) == (1, 1)
        and layer.groups == 1
    )


@torch.no_grad()
def _as_shuffle(layer: nn.ConvTranspose2d) -> nn.Sequential:
    side = layer.kernel_size[0]
    conv = nn.Conv2d(layer.in_channels, layer.out_channels * side**2, 1, bias=layer.bias is not None)
    conv.weight.copy_(layer.weight.reshape(layer.in_channels, -1).T[:, :, None, None])
    if conv.bias is not None and layer.bias is not None:
        conv.bias.copy_(layer.bias.repeat_interleave(side**2))
    return nn.Sequential(conv, nn.PixelShuffle(side)).train(layer.training)
