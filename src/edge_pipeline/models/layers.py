"""Layers that several networks are made of."""

from collections import OrderedDict

import torch
from torch import nn


def conv_norm(
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    eps: float = 1e-5,
    act: nn.Module | None = None,
) -> nn.Sequential:
    """Return a convolution without bias and its batch norm (`conv`, `norm`), and `act` if there is one.

    The convolution pads itself, by half its kernel on every side: of a size n it makes one of n / stride, rounded up.
    """
    layers: list[tuple[str, nn.Module]] = [
        (
            "conv",
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        ),
        ("norm", nn.BatchNorm2d(channels_out, eps=eps)),
    ]
    if act is not None:
        layers.append(("act", act))
    return nn.Sequential(OrderedDict(layers))


def for_channels(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return the convolution of a colour picture as one of a picture with `channels`.

    A grey picture counts as a colour picture whose three channels are equal, so trained weights keep their meaning.
    """
    if conv.in_channels == channels:
        return conv
    kernel, stride, padding, dilation = (
        (int(pair[0]), int(pair[1])) for pair in (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    )
    made = nn.Conv2d(channels, conv.out_channels, kernel, stride, padding, dilation, conv.groups, conv.bias is not None)
    with torch.no_grad():
        made.weight.copy_(conv.weight.sum(1, keepdim=True).expand_as(made.weight) / channels)
        if conv.bias is not None and made.bias is not None:
            made.bias.copy_(conv.bias)
    return made
