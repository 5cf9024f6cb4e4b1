"""Classifier networks that AIMET, ONNX and LiteRT take as they are."""

import io
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models.spec import ModelSpec

_REFUSED = re.compile(r"GLOBAL |Unsupported (global|class)|allowed global")
"""PyTorch's words for a pickle that wants to import or call something."""


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


def build(spec: ModelSpec) -> nn.Module:
    """Return the untrained network of `spec`."""
    return SmallCNN(spec.image_shape[0], spec.classes)


def dummy_input(spec: ModelSpec) -> torch.Tensor:
    """One image of the input shape, batch 1, for tracing only."""
    return torch.zeros(1, *spec.image_shape)


def state_to_bytes(state: dict[str, Any]) -> bytes:
    """Serialise tensors and plain values so that `weights_only` loading takes them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def state_from_bytes(data: bytes, origin: str) -> dict[str, Any]:
    """Read tensors and plain values; code in the file is refused, never run.

    Raises:
        ModelError: truncated, not a checkpoint, or a pickle that wants to import or call something.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        if _REFUSED.search(str(error)):
            raise ModelError(
                f"the checkpoint {origin} holds more than tensors (pickled Python objects) and was refused: loading "
                "it could run code. Save `model.state_dict()` only and try again."
            ) from error
        raise ModelError(f"the checkpoint {origin} is truncated or not a PyTorch checkpoint ({reason})") from error
    if not isinstance(state, dict):
        raise ModelError(f"the checkpoint {origin} holds a {type(state).__name__}, not a state dict")
    if not all(isinstance(key, str) for key in state):
        raise ModelError(f"the checkpoint {origin} is no state dict: not all of its keys are names")
    return state


def load_weights(net: nn.Module, path: Path) -> None:
    """Load a user's checkpoint into `net`.

    Raises:
        ModelError: missing, damaged, unsafe, or made for another network.
    """
    if not path.is_file():
        raise ModelError(f"the checkpoint {path} does not exist; correct `finetune.checkpoint`")
    state = state_from_bytes(path.read_bytes(), str(path))
    try:
        net.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        lines = [line.strip()[:160] for line in str(error).splitlines()][:4]
        raise ModelError(f"the checkpoint {path} belongs to another network: {' '.join(lines)}") from error
