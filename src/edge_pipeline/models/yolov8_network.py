"""YOLOv8 of the layers of `ultralytics`, as a network that torch.fx can trace and that gives the maps of its head."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError

_MOMENTUM = 0.1
"""Of the batch norms' statistics. With the 0.03 of `ultralytics` they lag behind the weights for 100 steps."""

_ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


class Yolov8(nn.Module):
    """Backbone, neck and the convolutions of the head.

    The names in its state dict are those of a model of `ultralytics`, `model.<layer>...`: from a checkpoint of theirs,
    `torch.save(YOLO("yolov8n.pt").model.state_dict(), "yolov8n_state.pt")` makes one that loads here.

    Args:
        layers: the layers of `ultralytics` in order, the head last.
        decoder: makes the outputs of the maps; without one the maps are the outputs.
    """

    published_keys = ((r"^model\.model\.", "model."),)

    def __init__(self, layers: nn.Sequential, decoder: nn.Module | None = None) -> None:
        super().__init__()
        self.model = layers
        self.decoder = decoder
        self._sources: list[Any] = [layer.f for layer in layers]

    def training_outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return box and class map of each level in turn; with masks then their coefficient maps and the prototypes.

        Args:
            x: images (n, 3, h, w) in 0 to 1; h and w are multiples of 32.
        """
        head: Any
        *body, head = self.model
        made: list[torch.Tensor] = []
        for layer, source in zip(body, self._sources[:-1], strict=True):
            x = layer(self._taken(source, x, made))
            made.append(x)
        features = self._taken(self._sources[-1], x, made)
        found = [branch[i](level) for i, level in enumerate(features) for branch in (head.cv2, head.cv3)]
        if hasattr(head, "proto"):
            found += [head.cv4[i](level) for i, level in enumerate(features)] + [head.proto(features[0])]
        return tuple(found)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the maps, or what the decoder makes of them."""
        maps = self.training_outputs(x)
        if self.decoder is None:
            return maps
        decoded: tuple[torch.Tensor, ...] = self.decoder(*maps)
        return decoded

    def adapted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return a state dict in which class layers made for another number of classes are this network's own.

        So a network trained on one set of classes can be fine-tuned on another; all other layers are kept as they are.
        """
        branch = f"model.{len(self.model) - 1}.cv3."
        own = {key: value for key, value in self.state_dict().items() if key.startswith(branch)}
        return {
            key: own[key] if key in own and getattr(value, "shape", None) != own[key].shape else value
            for key, value in state.items()
        }

    @staticmethod
    def _taken(source: int | list[int], x: Any, made: list[torch.Tensor]) -> Any:
        """Return the output of the layer that `source` names, or a list of such outputs; -1 is the layer before."""
        if isinstance(source, int):
            return x if source == -1 else made[source]
        return [x if index == -1 else made[index] for index in source]


class _SplitC2f(nn.Module):
    """The C2f block of `ultralytics` with a split of fixed sizes, which can be traced where a list of chunks cannot."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.cv1, self.cv2, self.m = block.cv1, block.cv2, block.m
        self.f, self._half = block.f, block.c

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves = torch.split(self.cv1(x), [self._half, self._half], 1)
        parts = [halves[0], halves[1]]
        for bottleneck in self.m:
            parts.append(bottleneck(parts[-1]))
        joined: torch.Tensor = self.cv2(torch.cat(parts, 1))
        return joined


def layers(name: str, classes: int) -> nn.Sequential:
    """Return the untrained layers of the model `name` (`yolov8n`, `yolov8s-seg`, ...), the head's biases set.

    Raises:
        ModelError: `ultralytics` is not installed.
    """
    with ultralytics() as package:
        build = package.SegmentationModel if name.endswith("-seg") else package.DetectionModel
        made: nn.Sequential = build(f"{name}.yaml", ch=3, nc=classes, verbose=False).model
        for index, layer in enumerate(made):
            if isinstance(layer, package.C2f):
                made[index] = _SplitC2f(layer)
    for module in made.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = nn.SiLU()  # all share one, which tracing cannot name
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = _MOMENTUM
    return made


@contextlib.contextmanager
def ultralytics() -> Iterator[Any]:
    """Import `ultralytics` so that it asks no server and leaves no file.

    What its import changes in this process is put back: environment, `torch.save`, how NumPy prints.

    Yields:
        its module of models.

    Raises:
        ModelError: it is not installed.
    """
    environment, save = dict(os.environ), torch.save
    with tempfile.TemporaryDirectory() as folder, np.printoptions():
        os.environ.update(_ENVIRONMENT, YOLO_CONFIG_DIR=folder)
        try:
            from ultralytics.nn import tasks

            yield tasks
        except ModuleNotFoundError as error:
            if error.name != "ultralytics":
                raise
            raise ModelError(
                "the YOLOv8 recipes need the package ultralytics: `pip install 'edge-pipeline[yolo]'`. It is licensed "
                "under AGPL-3.0, and so are networks that are made with it."
            ) from error
        finally:
            torch.save = save
            os.environ.clear()
            os.environ.update(environment)
