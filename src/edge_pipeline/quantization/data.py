"""What techniques learn from: the same inputs for each, read again each time, never all in memory."""

from collections.abc import Iterator
from typing import Protocol

import torch

Inputs = tuple[torch.Tensor, ...]


class Batches(Protocol):
    """Batches of a network's inputs, each tensor (n, ...), in the same order every time."""

    def __iter__(self) -> Iterator[Inputs]:
        """Yield all batches from the first."""

    def __len__(self) -> int:
        """Number of batches."""


def forward(model: torch.nn.Module, inputs: Inputs) -> object:
    """Run a network on one batch, as AIMET's techniques ask for it."""
    return model(*inputs)
