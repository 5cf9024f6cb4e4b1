"""Classifiers: a small network for small pictures, EfficientNet-Lite0, and those of torchvision and timm by name."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from edge_pipeline.core.errors import ModelError, suggest
from edge_pipeline.core.interface import Interface, Logits, Preprocessing
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models import classifier_libraries as libraries
from edge_pipeline.models import efficientnet_lite
from edge_pipeline.models.normalisation import IMAGENET_MEAN, IMAGENET_STD, Normalisation, of_channels
from edge_pipeline.models.spec import ClassifierSpec

_OWN = ("small_cnn", "efficientnet_lite0")


def _conv(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()
    )


class SmallCNN(nn.Module):
    """Three 3x3 convolutions with batch norm and ReLU, a pooling after the second, a linear head.

    Input (n, c, h, w) float32 in 0 to 1; output logits (n, classes).
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(channels, 32), _conv(32, 64), nn.MaxPool2d(2), _conv(64, 96), nn.AdaptiveAvgPool2d(1)
        )
        self.flatten = nn.Flatten()
        self.head = nn.Linear(96, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, classes)."""
        logits: torch.Tensor = self.head(self.flatten(self.features(x)))
        return logits


def interface(spec: ClassifierSpec) -> Interface:
    """Return what goes in and out: `image`, normalised as the network's weights want it, and `logits`.

    Raises:
        ModelError: there is no such network.
    """
    channels, height, width = spec.image_shape
    mean, std = of_channels(_normalisation(spec), channels)
    return Interface(
        inputs=(TensorSpec("image", (1, channels, height, width), "float32"),),
        outputs=(TensorSpec("logits", (1, spec.classes), "float32"),),
        preprocessing=Preprocessing(size=(height, width), channels=channels, mean=mean, std=std),
        postprocessing=Logits(),
    )


def build(spec: ClassifierSpec) -> nn.Module:
    """Return the network of `spec`, untrained or, as it says, trained on ImageNet with a new head.

    Raises:
        ModelError: there is no such network, its weights cannot be had, or it does not take images of this shape.
    """
    net = _network(spec).eval()
    shape = (1, *spec.image_shape)
    try:
        with torch.no_grad():
            logits = net(torch.zeros(shape))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(
            f"the network '{spec.network}' does not take images of the `image_shape` {list(spec.image_shape)} "
            f"(channels, height, width): {reason}. Choose a larger or the network's usual size."
        ) from error
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != (1, spec.classes):
        raise ModelError(f"the network '{spec.network}' is no classifier: it does not give (1, {spec.classes}) logits")
    return net.train()


def criterion(
    net: nn.Module, spec: ClassifierSpec, label_smoothing: float = 0.0
) -> Callable[[tuple[torch.Tensor, ...], Sequence[int]], torch.Tensor]:
    """Return the mean cross entropy of a batch; truths are class indices.

    Args:
        net: unused, the loss is that of every classifier.
        spec: unused.
        label_smoothing: share of the label that is spread over all classes, 0 to 1.
    """

    def loss(outputs: tuple[torch.Tensor, ...], truths: Sequence[int]) -> torch.Tensor:
        (logits,) = outputs
        labels = torch.tensor([int(truth) for truth in truths], device=logits.device)
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)

    return loss


def _network(spec: ClassifierSpec) -> nn.Module:
    (channels, _, _), classes, pretrained = spec.image_shape, spec.classes, spec.pretrained
    library, name = _split(spec.network)
    if library == "torchvision":
        return libraries.torchvision_net(name, spec.image_shape, classes, pretrained=pretrained)
    if library == "timm":
        return libraries.timm_net(name, channels, classes, pretrained=pretrained)
    if name == "efficientnet_lite0":
        return efficientnet_lite.efficientnet_lite0(channels, classes, pretrained=pretrained)
    if pretrained:
        raise ModelError("there are no trained weights of small_cnn; set `pretrained: false`")
    return SmallCNN(channels, classes)


def _normalisation(spec: ClassifierSpec) -> Normalisation:
    library, name = _split(spec.network)
    if name == "small_cnn":
        return (0.0,), (1.0,)
    if library == "torchvision" and spec.pretrained:
        return libraries.torchvision_normalisation(name)
    if library == "timm" and spec.pretrained:
        return libraries.timm_normalisation(name)
    if name == "efficientnet_lite0" and spec.pretrained:
        return efficientnet_lite.PUBLISHED_NORMALISATION
    return IMAGENET_MEAN, IMAGENET_STD


def _split(network: str) -> tuple[str, str]:
    """Return the library, empty for our own networks, and the name in it."""
    if network in _OWN:
        return "", network
    library, _, name = network.partition(".")
    if library not in ("torchvision", "timm") or not name:
        valid = (*_OWN, "torchvision.<name>", "timm.<name>")
        raise ModelError(f"there is no network '{network}': {suggest(network, valid)}")
    return library, name
