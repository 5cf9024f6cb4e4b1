"""Quantization-aware training: go on training the weights, and the ranges, of a simulation."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import fx, nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.models.recipes import as_tuple
from edge_pipeline.quantization.data import Inputs

Outputs = tuple[torch.Tensor, ...]
Loss = Callable[[Outputs, Inputs, Any], torch.Tensor]
"""(outputs of the simulation, inputs, truths) -> loss."""


def train_quantized(
    sim: Any,
    steps: Iterable[tuple[Inputs, Any]],
    total: int,
    loss: Loss,
    *,
    learning_rate: float,
    learn_ranges: bool,
) -> list[float]:
    """Train a calibrated simulation in place; return the loss of every step.

    Gradients pass through rounding as if it were not there; ranges that calibration chose are learned with the weights
    (Esser et al., Learned Step Size Quantization, 2020), those that runtimes fix are not.

    Args:
        sim: the simulation.
        steps: inputs and truths of each step.
        total: number of steps, over which the learning rate falls to zero along half a cosine.
        loss: what is minimised.
        learning_rate: of the first step.
        learn_ranges: whether the ranges of activations and weights are trained.

    Raises:
        QuantizationError: the loss became NaN or infinite.
    """
    from aimet_torch.quantization.base import QuantizerBase

    model: nn.Module = sim.model
    ranges = {
        id(p)
        for module in model.modules()
        if isinstance(module, QuantizerBase)
        for p in module.parameters()
        if not (learn_ranges and module._allow_overwrite)
    }
    trained = [p for p in model.parameters() if id(p) not in ranges]
    for p in trained:
        p.requires_grad_(True)
    optimizer = torch.optim.Adam(trained, learning_rate)
    history = []
    for step, (inputs, truths) in enumerate(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / total))
        optimizer.zero_grad(set_to_none=True)
        value = loss(as_tuple(model(*inputs)), inputs, truths)
        if not torch.isfinite(value):
            raise QuantizationError(
                f"quantization-aware training: the loss became {value.item()} in step {step + 1}; lower "
                "`quantize.qat.learning_rate`"
            )
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(trained, 10.0)
        optimizer.step()
        history.append(value.item())
    model.requires_grad_(False)
    return history


def distillation(teacher: fx.GraphModule) -> Loss:
    """Return the noise-to-signal ratio of the outputs against the float network's; each output weighs the same."""

    def loss(outputs: Outputs, inputs: Inputs, _: Any) -> torch.Tensor:
        with torch.no_grad():
            wanted = as_tuple(teacher(*inputs))
        ratios = [
            ((found - want) ** 2).mean() / (want**2).mean().clamp_min(1e-12)
            for found, want in zip(outputs, wanted, strict=True)
        ]
        return torch.stack(ratios).mean()

    return loss
