"""Classifiers of torchvision and timm by their name."""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError, suggest
from edge_pipeline.models.layers import for_channels
from edge_pipeline.models.normalisation import IMAGENET_MEAN, IMAGENET_STD, Normalisation

_PUBLISHED_CLASSES = 1000
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
"""They also renormalise their input if told so; they are not, and get the normalisation of their weights."""


def torchvision_net(name: str, image_shape: tuple[int, int, int], classes: int, *, pretrained: bool) -> nn.Module:
    """Return the classifier that torchvision calls `name`; pretrained, it has a new head for other than 1000 classes.

    Raises:
        ModelError: torchvision has no such classifier, cannot make it, or its weights cannot be had.
    """
    models = _torchvision(name)
    channels, height, _ = image_shape
    options: dict[str, Any] = {"image_size": height} if name.startswith("vit_") else {}
    weights = models.get_model_weights(name).DEFAULT if pretrained else None
    if pretrained:
        options |= {"transform_input": False} if name in _WITH_AUXILIARY_HEADS else {}
    else:
        options |= {"aux_logits": False, "init_weights": True} if name in _WITH_AUXILIARY_HEADS else {}
        options["num_classes"] = classes
    try:
        net: nn.Module = models.get_model(name, weights=weights, **options)
    except ValueError as error:
        raise ModelError(f"torchvision cannot make the network '{name}': {_first_line(error)}") from error
    except Exception as error:
        if weights is None:
            raise
        kept = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise _not_downloaded(f"torchvision.{name}", error, f"place the file at {kept}") from error
    _drop_auxiliary_heads(net)
    if pretrained and classes != _PUBLISHED_CLASSES:
        _replace_head(net, name, classes)
    for path, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            net.set_submodule(path, for_channels(module, channels))
            break
    return net


def torchvision_normalisation(name: str) -> Normalisation:
    """Return mean and standard deviation with which torchvision's weights were trained.

    Raises:
        ModelError: torchvision has no such classifier.
    """
    models = _torchvision(name)
    if name in _WITH_AUXILIARY_HEADS:
        return (0.5,) * 3, (0.5,) * 3
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def timm_net(name: str, channels: int, classes: int, *, pretrained: bool) -> nn.Module:
    """Return the classifier that timm calls `name`, which may name weights too: `resnet18.a1_in1k`.

    Raises:
        ModelError: timm is not installed, has no such classifier, or its weights cannot be had.
    """
    timm = _timm(name)
    try:
        net: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=classes, in_chans=channels)
    except Exception as error:
        if pretrained:
            raise _not_downloaded(f"timm.{name}", error) from error
        raise ModelError(f"timm cannot make the network '{name}': {_first_line(error)}") from error
    return net


def timm_normalisation(name: str) -> Normalisation:
    """Return mean and standard deviation with which timm's weights were trained.

    Raises:
        ModelError: timm is not installed or has no such classifier.
    """
    known = _timm(name).models.get_pretrained_cfg(name)
    return (tuple(known.mean), tuple(known.std)) if known else (IMAGENET_MEAN, IMAGENET_STD)


def _torchvision(name: str) -> Any:
    """Return `torchvision.models`, which has a classifier `name`."""
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise ModelError(f"torchvision has no classifier '{name}': {suggest(name, names)}")
    return models


def _timm(name: str) -> Any:
    """Return timm, which has a classifier `name`."""
    try:
        timm: Any = importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(
            f"the network 'timm.{name}' needs timm, which is not installed: run `pip install 'edge-pipeline[timm]'`"
        ) from error
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise ModelError(f"timm has no network '{architecture}': {_closest(architecture, timm.list_models())}")
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ModelError(f"timm has no weights '{tag}' of '{architecture}': {suggest(tag, tags)}")
    return timm


def _closest(name: str, names: list[str]) -> str:
    """Return a hint; all of timm's thousand names would be none."""
    hint = suggest(name, names)
    return hint if len(hint) < 200 else "`timm.list_models()` names them all"


def _drop_auxiliary_heads(net: Any) -> None:
    """Leave one output in training, as in evaluation."""
    if getattr(net, "aux_logits", False):
        net.aux_logits = False
    for name in ("AuxLogits", "aux1", "aux2"):
        if hasattr(net, name):
            setattr(net, name, None)


def _replace_head(net: nn.Module, name: str, classes: int) -> None:
    """Put a new layer for `classes` in the place of the last one for 1000."""
    for path, module in reversed(list(net.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == _PUBLISHED_CLASSES:
            net.set_submodule(path, nn.Linear(module.in_features, classes, module.bias is not None))
            return
        if isinstance(module, nn.Conv2d) and module.out_channels == _PUBLISHED_CLASSES:
            net.set_submodule(path, nn.Conv2d(module.in_channels, classes, 1, bias=module.bias is not None))
            return
    raise ModelError(f"the head of torchvision.{name} was not found; set `pretrained: false`")


def _not_downloaded(network: str, error: Exception, remedy: str = "") -> ModelError:
    return ModelError(
        f"the trained weights of {network} could not be downloaded ({type(error).__name__}: {_first_line(error)}). "
        f"Connect this machine to the internet{f', or {remedy}' if remedy else ''}, or set `pretrained: false` and "
        "start from a checkpoint of yours: `finetune.checkpoint`."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
