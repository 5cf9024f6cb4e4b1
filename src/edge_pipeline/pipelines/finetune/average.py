"""The exponential moving average of a network's weights, which is what is validated and kept."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """Return the average of `net`, of its parameters and of the statistics of its normalisation layers.

    The decay rises to `decay` as min(decay, (1 + updates) / (10 + updates)), so that short trainings are not held back
    by the first weights.
    """

    def update(
        mean: torch.Tensor | nn.Parameter, current: torch.Tensor | nn.Parameter, updates: torch.Tensor | int
    ) -> torch.Tensor:
        if not mean.is_floating_point():
            return current
        kept = min(decay, (1 + int(updates)) / (10 + int(updates)))
        return mean.lerp(current, 1 - kept)

    return AveragedModel(net, avg_fn=update, use_buffers=True)
