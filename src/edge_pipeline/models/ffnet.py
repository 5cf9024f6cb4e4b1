"""FFNet for semantic segmentation: a slim ResNet of basic blocks, and a small head of convolutions.

Mehta et al., Simple and Efficient Architectures for Semantic Segmentation, CVPR workshops 2022 (arXiv 2206.08236).
These are the networks published as "segmentation_ffnet<depth>S_dBBB_mobile", made for images of 1024x2048: an up-head
of kind B, a segmentation head of kind B, a slim backbone whose first stage shrinks ("d"), so that its stages see 1/8 to
1/64 of the size. Qualcomm AI Hub Models gives 13.9, 18.0 and 27.5 million parameters for 19 classes.

Their checkpoints ("ffnet40S_dBBB_cityscapes_state_dict_quarts") load as they are; the keys in them are
`backbone_model.{conv0,bn0,conv1,bn1}`, `backbone_model.layer<1-4>.<block>.{conv1,bn1,conv2,bn2,downsample.<0,1>}`,
`head.layers.0.adapter_conv.<level>.layers.<0,1>`, `head.layers.1.fam_{4,<8,16,32>_sm,<8,16,32>_up}.layers.<0,1>` and
`head.layers.3.last_layer.<0,1,3>`. Checkpoints of the "BBB" networks for 512x1024 have the same keys and shapes, but
are of a network whose first stage does not shrink: do not load them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from edge_pipeline.core.annotations import IGNORED_LABEL
from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.interface import ClassMap, Interface, Preprocessing
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models.layers import conv_norm
from edge_pipeline.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from edge_pipeline.models.spec import FFNetSpec

DEPTHS = {"ffnet_40s": (4, 5, 6, 4), "ffnet_54s": (5, 8, 8, 5), "ffnet_78s": (6, 12, 12, 8)}
"""Basic blocks in each of the four stages."""

_STEM = 64
_WIDTHS = (64, 128, 192, 320)
_REDUCED = (64, 128, 128, 256)
_SMOOTHED = (96, 96, 64, 32)
_HIDDEN = 256
_SMALLEST = 96
"""Pixels: below, the last stage has a single pixel, of which batch norm can learn nothing."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; with `stride` 2 the shortcut is a 1x1 convolution."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = conv_norm(channels_in, channels_out, 3, stride=stride, act=nn.ReLU())
        self.second = conv_norm(channels_out, channels_out, 3)
        changes = stride != 1 or channels_in != channels_out
        self.shortcut = conv_norm(channels_in, channels_out, 1, stride=stride) if changes else None
        self.act = nn.ReLU()

    def start_as_identity(self) -> None:
        """Let the block pass on its shortcut at first, which speeds up training (Goyal et al., 2017)."""
        norm: Any = self.second.get_submodule("norm")
        nn.init.zeros_(norm.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, channels_out, h / stride, w / stride)."""
        kept = x if self.shortcut is None else self.shortcut(x)
        made: torch.Tensor = self.act(self.second(self.first(x)) + kept)
        return made


class UpHead(nn.Module):
    """Merge the four stages from the coarsest to the finest, and lay all levels over each other in the finest's size.

    Args:
        sizes: height and width of each stage's feature map.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(
            conv_norm(wide, narrow, 1, act=nn.ReLU()) for wide, narrow in zip(_WIDTHS, _REDUCED, strict=True)
        )
        self.narrow = nn.ModuleList(conv_norm(_REDUCED[i + 1], _REDUCED[i], 1, act=nn.ReLU()) for i in range(3))
        self.enlarge = nn.ModuleList(_enlargement(sizes[i + 1], sizes[i]) for i in range(3))
        self.smooth = nn.ModuleList(
            conv_norm(wide, narrow, 3, act=nn.ReLU()) for wide, narrow in zip(_REDUCED, _SMOOTHED, strict=True)
        )
        self.align = nn.ModuleList(_enlargement(sizes[i], sizes[0]) for i in (1, 2, 3))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return (n, 288, h, w) of the feature maps of the stages, the finest first."""
        reduced = [layer(feature) for layer, feature in zip(self.reduce, features, strict=True)]
        merged = reduced[3]
        levels = [self.align[2](self.smooth[3](merged))]
        for i in (2, 1, 0):
            merged = self.enlarge[i](self.narrow[i](merged)) + reduced[i]
            level = self.smooth[i](merged)
            levels.insert(0, self.align[i - 1](level) if i else level)
        return torch.cat(levels, dim=1)


class FFNet(nn.Module):
    """Logits of every class for each 8x8 pixels of an image of one fixed size.

    Args:
        depths: basic blocks of each stage.
        size: height and width of the images, multiples of 32. With multiples of 64 every enlargement is by a whole
            factor; others are exported with operators that compute a shape, which NPU compilers refuse.
        classes: channels of the output.
        channels: channels of the images.
    """

    published_keys = (
        (r"^backbone_model\.conv([01])\.", r"stem.\1.conv."),
        (r"^backbone_model\.bn([01])\.", r"stem.\1.norm."),
        *((rf"^backbone_model\.layer{i + 1}\.", f"stages.{i}.") for i in range(4)),
        (r"^(stages\.\d\.\d+)\.conv1\.", r"\1.first.conv."),
        (r"^(stages\.\d\.\d+)\.bn1\.", r"\1.first.norm."),
        (r"^(stages\.\d\.\d+)\.conv2\.", r"\1.second.conv."),
        (r"^(stages\.\d\.\d+)\.bn2\.", r"\1.second.norm."),
        (r"^(stages\.\d\.\d+)\.downsample\.0\.", r"\1.shortcut.conv."),
        (r"^(stages\.\d\.\d+)\.downsample\.1\.", r"\1.shortcut.norm."),
        (r"^head\.layers\.0\.adapter_conv\.(\d)\.layers\.", r"head.reduce.\1."),
        (r"^head\.layers\.1\.fam_4\.layers\.", "head.smooth.0."),
        *((rf"^head\.layers\.1\.fam_{4 * 2**i}_sm\.layers\.", f"head.smooth.{i}.") for i in (1, 2, 3)),
        *((rf"^head\.layers\.1\.fam_{8 * 2**i}_up\.layers\.", f"head.narrow.{i}.") for i in (0, 1, 2)),
        (r"^(head\.\w+\.\d)\.0\.", r"\1.conv."),
        (r"^(head\.\w+\.\d)\.1\.", r"\1.norm."),
        (r"^head\.layers\.3\.last_layer\.", "predict."),
    )

    def __init__(self, depths: Sequence[int], size: tuple[int, int], classes: int, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_norm(channels, _STEM // 2, 3, stride=2, act=nn.ReLU()),
            conv_norm(_STEM // 2, _STEM, 3, stride=2, act=nn.ReLU()),
        )
        self.stages = nn.ModuleList()
        for before, width, depth in zip((_STEM, *_WIDTHS), _WIDTHS, depths, strict=False):
            blocks = [BasicBlock(width if i else before, width, 1 if i else 2) for i in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
        self.head = UpHead([_shrunk(size, 8 * 2**i) for i in range(4)])
        self.predict = nn.Sequential(
            nn.Conv2d(sum(_SMOOTHED), _HIDDEN, 3, padding=1),
            nn.BatchNorm2d(_HIDDEN),
            nn.ReLU(),
            nn.Conv2d(_HIDDEN, classes, 3, padding=1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in self.modules():
            if isinstance(block, BasicBlock):
                block.start_as_identity()
        last: Any = self.predict[3]
        nn.init.normal_(last.weight, std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes, h / 8, w / 8)."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        logits: torch.Tensor = self.predict(self.head(features))
        return logits


def interface(spec: FFNetSpec) -> Interface:
    """Return what goes in and out: `image` normalised as for ImageNet, `logits` of an eighth of its size.

    Raises:
        ModelError: images of a size that the network does not take.
    """
    channels, *size = spec.image_shape
    height, width = _checked(spec, size)
    return Interface(
        inputs=(TensorSpec("image", (1, channels, height, width), "float32"),),
        outputs=(TensorSpec("logits", (1, spec.classes, height // 8, width // 8), "float32"),),
        preprocessing=Preprocessing(size=(height, width), channels=channels, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        postprocessing=ClassMap(),
    )


def build(spec: FFNetSpec) -> nn.Module:
    """Return the untrained network of `spec`.

    Raises:
        ModelError: images of a size that the network does not take.
    """
    channels, *size = spec.image_shape
    return FFNet(DEPTHS[spec.recipe], _checked(spec, size), spec.classes, channels)


def criterion(
    net: nn.Module, spec: FFNetSpec
) -> Callable[[tuple[torch.Tensor, ...], Sequence[NDArray[np.uint8]]], torch.Tensor]:
    """Return the cross entropy over all pixels that are labelled, the logits enlarged (bilinear) to the labels' size.

    Labels are (h, w) class indices; a batch without any labelled pixel has the loss 0. With `spec.balance` a class of
    the share p of the batch's pixels has the weight 1 / ln(1.1 + p), after Paszke et al., ENet, 2016.
    """

    def loss(outputs: tuple[torch.Tensor, ...], truths: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        (logits,) = outputs
        labels = torch.from_numpy(np.stack(truths).astype(np.int64)).to(logits.device)
        enlarged = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
        labelled = labels[labels != IGNORED_LABEL]
        weights = torch.ones(spec.classes, device=logits.device)
        if spec.balance:
            shares = torch.bincount(labelled, minlength=spec.classes) / max(len(labelled), 1)
            weights = 1 / torch.log(1.1 + shares)
        total = F.cross_entropy(enlarged, labels, weights, ignore_index=IGNORED_LABEL, reduction="sum")
        return total / weights[labelled].sum().clamp(min=1)

    return loss


def _checked(spec: FFNetSpec, size: Sequence[int]) -> tuple[int, int]:
    height, width = size
    if min(size) < _SMALLEST or height % 32 or width % 32:
        fitting = "x".join(str(max(_SMALLEST, round(pixels / 32) * 32)) for pixels in (height, width))
        raise ModelError(
            f"{spec.recipe} does not take images of {height}x{width} (height x width): both must be multiples of 32 "
            f"and at least {_SMALLEST}. The closest `image_shape` has {fitting}."
        )
    return height, width


def _enlargement(before: tuple[int, int], after: tuple[int, int]) -> nn.Upsample:
    """Return the nearest-neighbour enlargement, by a constant factor if it is whole, else to a constant size."""
    if after[0] % before[0] or after[1] % before[1]:
        return nn.Upsample(size=after, mode="nearest")
    return nn.Upsample(scale_factor=(after[0] / before[0], after[1] / before[1]), mode="nearest")


def _shrunk(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return -(-size[0] // factor), -(-size[1] // factor)
