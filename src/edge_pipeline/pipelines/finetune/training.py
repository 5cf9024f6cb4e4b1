"""The training loop: deterministic by seed, checkpointed every epoch, resumed exactly."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError, TrainingError
from edge_pipeline.core.files import write_atomically
from edge_pipeline.core.progress import advance, listeners, measured
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.base import Samples
from edge_pipeline.models import recipes
from edge_pipeline.models.checkpoints import load_weights, state_from_bytes, state_to_bytes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.augment import Augment
from edge_pipeline.pipelines.finetune.average import averaged
from edge_pipeline.pipelines.finetune.evaluation import evaluate
from edge_pipeline.pipelines.finetune.fingerprint import fingerprint
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters
from edge_pipeline.pipelines.loading import training_batches


@dataclasses.dataclass(frozen=True)
class Trained:
    """Best weights (by validation), one metrics entry per epoch, and the metrics of the network before training."""

    state: dict[str, torch.Tensor]
    history: tuple[dict[str, float], ...]
    best_epoch: int
    resumed_from: int
    untrained: dict[str, float]


@dataclasses.dataclass(frozen=True)
class _Training:
    """What stays the same during one training."""

    name: str
    spec: ModelSpec
    samples: Samples
    split: Split
    parameters: FinetuneParameters
    device: torch.device
    criterion: recipes.Criterion

    @property
    def steps(self) -> int:
        """Optimizer steps of an epoch."""
        return math.ceil(len(self.split.train) / (self.parameters.batch_size * self.parameters.accumulate))


def train(
    spec: ModelSpec, samples: Samples, split: Split, parameters: FinetuneParameters, folder: Path, name: str
) -> Trained:
    """Fine-tune and return the weights of the best epoch.

    Raises:
        TrainingError: the loss became NaN or infinite.
        ModelError: the checkpoint to start from cannot be used, or the head has another number of classes.
        StorageError: a checkpoint cannot be written.
    """
    check_classes(spec, samples, name)
    if parameters.augment.rotate_degrees and spec.task in ("detection", "instance_segmentation"):
        raise TrainingError(f"{name}: boxes cannot be turned; set `finetune.augment.rotate_degrees: 0`")
    key = fingerprint(spec, split, parameters, name)
    device = _accelerator(parameters)
    torch.manual_seed(parameters.seed)
    net = recipes.recipe(spec).build(spec)
    if parameters.checkpoint:
        load_weights(net, parameters.checkpoint)
    network: Any = net
    network.to(device, memory_format=torch.channels_last)  # the overload is missing from PyTorch's annotations
    smoothing = {"label_smoothing": parameters.label_smoothing} if spec.recipe == "classifier" else {}
    criterion = recipes.recipe(spec).criterion(net, spec, **smoothing)
    job = _Training(name, spec, samples, split, parameters, device, criterion)
    optimizer = torch.optim.AdamW(_groups(net, parameters.weight_decay), parameters.learning_rate)
    scaler = torch.amp.grad_scaler.GradScaler("cuda", enabled=_autocast_type(parameters, device) is torch.float16)
    average = averaged(net, parameters.ema)
    parts: dict[str, Any] = {"net": net, "average": average, "optimizer": optimizer, "scaler": scaler}
    path = folder / "last.pt"
    state = _resume(path, key) if parameters.resume else None
    threads = torch.get_num_threads()
    torch.set_num_threads(parameters.threads or threads)
    step = f"{name}: fine-tune"
    for listener in listeners:
        listener.started(step, parameters.epochs)
    try:
        if state:
            for part, value in parts.items():
                value.load_state_dict(state[part])
        else:
            untrained = _scores(job, net)
            state = {"history": [], "best": {}, "best_epoch": 0, "untrained": untrained, "fingerprint": key}
        history: list[dict[str, float]] = state["history"]
        resumed = len(history)
        for index, entry in enumerate(history, start=1):
            measured(step, index, entry)
        note = f"resumed after epoch {resumed}" if resumed else ""
        advance(step, resumed, note)
        for epoch in range(resumed + 1, parameters.epochs + 1):
            if state["best"] and epoch - 1 - state["best_epoch"] >= parameters.patience:
                break
            entry = _epoch(job, net, average, optimizer, scaler, epoch)
            if epoch % parameters.validate_every == 0 or epoch == parameters.epochs:
                entry |= _scores(job, average.module)
                if not math.isfinite(entry["validation_loss"]):
                    raise TrainingError(
                        f"{name}: the loss on validation images became {entry['validation_loss']} in epoch {epoch}, "
                        f"at learning rate {entry['learning_rate']:.3g}. Lower `finetune.learning_rate`. The "
                        "checkpoint of the last good epoch is kept."
                    )
                if not state["best"] or _merit(entry) > _merit(history[state["best_epoch"] - 1]):
                    state["best_epoch"] = epoch
                    state["best"] = {k: v.detach().cpu().clone() for k, v in average.module.state_dict().items()}
            history.append(entry)
            states = {part: value.state_dict() for part, value in parts.items()}
            write_atomically(path, state_to_bytes({**state, **states}))
            measured(step, epoch, entry)
            advance(step, epoch, ", ".join(filter(None, (_told(entry), note))))
    finally:
        torch.set_num_threads(threads)
        for listener in listeners:
            listener.ended(step)
    return Trained(state["best"], tuple(history), state["best_epoch"], resumed, state["untrained"])


def check_classes(spec: ModelSpec, samples: Samples, name: str) -> None:
    """Refuse a dataset whose classes the network's head does not have.

    Raises:
        ModelError: the numbers differ.
    """
    if spec.task != "custom" and samples.classes and len(samples.classes) != spec.classes:
        raise ModelError(
            f"{name}: the dataset has {len(samples.classes)} classes ({_listed(samples.classes)}), the network's head "
            f"has {spec.classes}; set `classes: {len(samples.classes)}` in models.yml"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _merit(entry: Mapping[str, float]) -> tuple[float, float]:
    return entry.get("validation_accuracy", 0.0), -entry["validation_loss"]


def _told(entry: Mapping[str, float]) -> str:
    if "validation_accuracy" in entry:
        return f"validation accuracy {entry['validation_accuracy']:.2%}"
    return f"loss {entry.get('validation_loss', entry['train_loss']):.4g}"


def _scores(job: _Training, net: nn.Module) -> dict[str, float]:
    p = job.parameters
    return evaluate(
        net, job.spec, job.samples, job.split.validation, job.criterion, p.batch_size, p.workers, job.device
    )


def _groups(net: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return parameter groups: weight decay is for weights of layers, not for biases and normalisation."""
    free = [p for p in net.parameters() if p.requires_grad and p.ndim <= 1]
    decayed = [p for p in net.parameters() if p.requires_grad and p.ndim > 1]
    return [{"params": decayed, "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]


def _accelerator(parameters: FinetuneParameters) -> torch.device:
    if parameters.accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError("finetune.accelerator is 'cuda' but PyTorch finds no CUDA device; set 'cpu' or 'auto'")
    cuda = parameters.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu")


def _autocast_type(parameters: FinetuneParameters, device: torch.device) -> torch.dtype | None:
    if parameters.mixed_precision == "bfloat16":
        return torch.bfloat16
    if parameters.mixed_precision == "off" or device.type == "cpu":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def _resume(path: Path, key: str) -> dict[str, Any] | None:
    """Return the checkpoint at `path` if it belongs to exactly this training."""
    if not path.is_file():
        return None
    try:
        state = state_from_bytes(path.read_bytes(), str(path))
    except ModelError:
        return None
    return state if state.get("fingerprint") == key else None


def _epoch(
    job: _Training, net: nn.Module, average: Any, optimizer: torch.optim.Optimizer, scaler: Any, epoch: int
) -> dict[str, float]:
    """Train one epoch. All randomness comes from (seed, epoch), so a resumed run draws the same numbers."""
    p = job.parameters
    torch.manual_seed(int(np.random.SeedSequence([p.seed, epoch]).generate_state(1)[0]))
    net.train()
    total = seen = 0.0
    rate = p.learning_rate
    kind = _autocast_type(p, job.device)
    forward = recipes.training_forward(net)
    for step, group in enumerate(_accumulated(job, epoch)):
        rate = _rate(p, (epoch - 1) * job.steps + step, job.steps)
        for one in optimizer.param_groups:
            one["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        count = sum(len(batch) for batch in group)
        for batch in group:
            inputs = [torch.from_numpy(one).to(job.device) for one in batch.inputs]
            with torch.autocast(job.device.type, kind, enabled=kind is not None):
                outputs = recipes.as_tuple(forward(*inputs))
            loss = job.criterion(tuple(one.float() for one in outputs), batch.truths)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"{job.name}: the loss became {loss.item()} in epoch {epoch}, step {step + 1}, at learning rate "
                    f"{rate:.3g}. Lower `finetune.learning_rate` or check the images for NaN. "
                    "The checkpoint of the last good epoch is kept."
                )
            scaler.scale(loss * (len(batch) / count)).backward()
            total += loss.item() * len(batch)
        seen += count
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(net.parameters(), p.clip_gradient)
        scaler.step(optimizer)
        scaler.update()
        average.update_parameters(net)
    return {"train_loss": total / seen, "learning_rate": rate}


def _accumulated(job: _Training, epoch: int) -> Iterator[list[Any]]:
    """Yield the batches of each optimizer step. A last batch of one sample joins none: it has no statistics."""
    p = job.parameters
    order = np.random.default_rng([p.seed, epoch]).permutation(np.asarray(job.split.train)).tolist()
    interface = recipes.interface(job.spec)
    fill = interface.preprocessing.fill if interface.preprocessing else 0
    change = Augment(p.augment, p.seed, fill)
    group: list[Any] = []
    for batch in training_batches(
        job.samples, interface, order, p.batch_size, workers=p.workers, epoch=epoch, change=change
    ):
        if len(batch) > 1 or len(order) == 1:
            group.append(batch)
        if len(group) == p.accumulate:
            yield group
            group = []
    if group:
        yield group


def _rate(p: FinetuneParameters, step: int, steps: int) -> float:
    """Linear warm-up, then cosine decay to 1% of the learning rate."""
    warmup, total = p.warmup_epochs * steps, p.epochs * steps
    if step < warmup:
        return p.learning_rate * (step + 1) / max(warmup, 1)
    share = (step - warmup) / max(total - warmup, 1)
    return p.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
