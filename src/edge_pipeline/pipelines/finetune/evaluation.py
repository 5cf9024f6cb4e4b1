"""Loss and metrics of a network in PyTorch on a part of the dataset."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from edge_pipeline.datasets.base import Samples
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.loading import training_batches
from edge_pipeline.tasks.base import evaluator
from edge_pipeline.tasks.decode import decode, restore
from edge_pipeline.tasks.user_metric import UserMetric

_PER_CLASS = ("recall", "ap", "ap50", "mask_ap", "mask_ap50", "iou")


@torch.no_grad()
def evaluate(
    net: nn.Module,
    spec: ModelSpec,
    samples: Samples,
    indices: Sequence[int],
    criterion: recipes.Criterion | None,
    batch_size: int,
    workers: int,
    device: torch.device,
    own: UserMetric | None = None,
) -> dict[str, float]:
    """Return `validation_loss` and the task's metrics, each as `validation_<name>`; those per class are left out.

    Without a `criterion` there is no loss, with a loss that is not finite there are no metrics. `own` is a metric of
    the user's that is measured too.
    """
    interface = recipes.interface(spec)
    judge = evaluator(spec.task, samples.classes)
    loss = 0.0
    was_training = net.training
    net.eval()
    try:
        forward = recipes.training_forward(net)
        same = forward is net
        for batch in training_batches(samples, interface, indices, batch_size, workers=workers, epoch=0):
            inputs = [torch.from_numpy(one).to(device) for one in batch.inputs]
            final = None
            if criterion:
                outputs = recipes.as_tuple(forward(*inputs))
                loss += float(criterion(outputs, batch.truths)) * len(batch)
                if not math.isfinite(loss):
                    return {"validation_loss": loss}
                final = outputs if same else None
            if final is None:
                final = recipes.as_tuple(net(*inputs))
            for prediction, geometry, index in zip(
                decode([one.cpu().numpy() for one in final], interface), batch.geometries, batch.indices, strict=True
            ):
                if geometry is not None and spec.task != "custom":
                    prediction = restore(prediction, geometry)
                truth = samples.truth(index)
                judge.add(prediction, truth)
                if own:
                    own.add(prediction, truth)
    finally:
        net.train(was_training)
    users = own.metrics() if own else {}
    overall = {
        key: value for key, value in {**judge.metrics(), **users}.items() if not _of_a_class(key, samples.classes)
    }
    losses = {"validation_loss": loss / len(indices)} if criterion else {}
    return {**losses, **{f"validation_{key}": value for key, value in overall.items()}}


def _of_a_class(metric: str, classes: Sequence[str]) -> bool:
    return any(metric == f"{prefix}_{name}" for prefix in _PER_CLASS for name in classes)
