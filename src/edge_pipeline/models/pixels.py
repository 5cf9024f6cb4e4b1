"""Make the normalisation of pictures part of a network, so that the application gives it pixel values."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from edge_pipeline.models.recipes import as_tuple

TAKES_PIXELS = "takes_pixels"
"""Attribute of a network whose first input is pixel values, 0 to 255; `meta` of one that was traced."""

TOLERANCE = 1e-4
"""Largest difference of outputs, as a share of the largest output, up to which folding is the same network."""


class _Scaled(nn.Module):
    """A network behind a depthwise 1x1 convolution that normalises its input."""

    def __init__(self, net: nn.Module, factor: torch.Tensor, offset: torch.Tensor) -> None:
        super().__init__()
        self.normalise = nn.Conv2d(len(factor), len(factor), 1, groups=len(factor))
        self.normalise.weight.data = factor.reshape(-1, 1, 1, 1).clone()
        assert self.normalise.bias is not None
        self.normalise.bias.data = offset.clone()
        self.network = net

    def forward(self, image: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs for pixel values (n, c, h, w), 0 to 255."""
        found: torch.Tensor = self.network(self.normalise(image), *others)
        return found


@torch.no_grad()
def with_pixel_input(
    net: nn.Module, mean: Sequence[float], std: Sequence[float], inputs: tuple[torch.Tensor, ...]
) -> nn.Module:
    """Return a network that takes pixel values and computes (pixel / 255 - mean) / std itself.

    The numbers are folded into the first convolution where that gives the same outputs: where it has no padding, or
    the mean is 0. Around the picture the network then still sees what it was trained with. Else a depthwise
    1x1 convolution, one multiply-add for each number of the input, comes first.

    Args:
        net: in evaluation mode; it stays as it is.
        mean: for each channel.
        std: for each channel.
        inputs: one sample of the network's inputs, of any values; the first is the picture.
    """
    factor = 1 / (255 * torch.tensor(std, dtype=torch.float32))
    offset = -torch.tensor(mean, dtype=torch.float32) / torch.tensor(std, dtype=torch.float32)
    slow = _Scaled(net, factor, offset).eval()
    generator = torch.Generator().manual_seed(0)
    sample = torch.randint(0, 256, inputs[0].shape, generator=generator).float(), *inputs[1:]
    folded = _folded(net, factor, offset)
    found = folded if folded is not None and _same(folded, slow, sample) else slow
    setattr(found, TAKES_PIXELS, True)
    return found


def _folded(net: nn.Module, factor: torch.Tensor, offset: torch.Tensor) -> nn.Module | None:
    found = copy.deepcopy(net)
    first = next((one for one in found.modules() if isinstance(one, nn.Conv2d)), None)
    if first is None or first.groups != 1 or first.in_channels != len(factor):
        return None
    if bool(offset.any()):
        added = (first.weight.sum((2, 3)) * offset).sum(1)
        first.bias = nn.Parameter(added if first.bias is None else first.bias + added)
    first.weight.mul_(factor.reshape(1, -1, 1, 1))
    return found


def _same(one: nn.Module, other: nn.Module, sample: tuple[torch.Tensor, ...]) -> bool:
    pairs = zip(as_tuple(one(*sample)), as_tuple(other(*sample)), strict=True)
    return all(bool((a - b).abs().max() <= TOLERANCE * b.abs().max()) for a, b in pairs)
