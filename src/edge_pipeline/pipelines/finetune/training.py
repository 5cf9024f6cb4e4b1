"""The training loop: deterministic by seed, checkpointed every epoch, resumed exactly."""

import dataclasses
import inspect
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge_pipeline.core.errors import ModelError, TrainingError
from edge_pipeline.core.files import json_bytes, sha256, write_atomically
from edge_pipeline.core.progress import advance, listeners, measured
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.base import Samples, batches
from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.parameters import AugmentParameters, FinetuneParameters


@dataclasses.dataclass(frozen=True)
class Trained:
    """Best weights (by validation) and one metrics entry per epoch."""

    state: dict[str, torch.Tensor]
    history: tuple[dict[str, float], ...]
    best_epoch: int
    resumed_from: int


def fingerprint(spec: ModelSpec, split: Split, parameters: FinetuneParameters, name: str) -> str:
    """Hash of all that decides the trained weights: model, data, split, parameters, code and library."""
    start = b""
    if parameters.checkpoint and parameters.checkpoint.is_file():
        start = parameters.checkpoint.read_bytes()
    code = "".join(inspect.getsource(module) for module in (classifier, sys.modules[__name__]))
    return sha256(
        json_bytes(
            {
                "model": name,
                "spec": spec.model_dump(mode="json", include={"recipe", "task", "image_shape", "classes"}),
                "split": dataclasses.asdict(split),
                "parameters": parameters.model_dump(mode="json", exclude={"resume"}),
                "start": sha256(start),
                "code": sha256(code.encode()),
                "torch": torch.__version__,
            }
        )
    )


def train(
    spec: ModelSpec, samples: Samples, split: Split, parameters: FinetuneParameters, folder: Path, name: str
) -> Trained:
    """Fine-tune and return the weights of the best epoch.

    Raises:
        TrainingError: the loss became NaN or infinite.
        ModelError: the checkpoint to start from cannot be used.
        StorageError: a checkpoint cannot be written.
    """
    if len(samples.classes) != spec.classes:
        raise ModelError(
            f"{name}: the dataset has {len(samples.classes)} classes, the network's head has {spec.classes}; "
            "set `classes` in models.yml to the dataset's number"
        )
    key = fingerprint(spec, split, parameters, name)
    threads = torch.get_num_threads()
    device = _accelerator(parameters)
    torch.manual_seed(parameters.seed)
    net = classifier.build(spec)
    if parameters.checkpoint:
        classifier.load_weights(net, parameters.checkpoint)
    net.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), parameters.learning_rate, weight_decay=parameters.weight_decay)
    path = folder / "last.pt"
    state = _resume(path, key) if parameters.resume else None
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    best_epoch = resumed = 0
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        history, best, best_epoch = state["history"], state["best"], state["best_epoch"]
        resumed = len(history)
    step = f"{name}: fine-tune"
    for listener in listeners:
        listener.started(step, parameters.epochs)
    torch.set_num_threads(parameters.threads or threads)
    try:
        for index, entry in enumerate(history, start=1):
            measured(step, index, entry)
        note = f", resumed after epoch {resumed}" if resumed else ""
        advance(step, resumed, note.removeprefix(", "))
        for epoch in range(resumed + 1, parameters.epochs + 1):
            if epoch - 1 - best_epoch >= parameters.patience and best:
                break
            train_loss, rate = _epoch(net, optimizer, samples, split, parameters, epoch, device, name)
            loss, accuracy = _evaluate(net, samples, split.validation, parameters.batch_size, device)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"{name}: the loss on validation images became {loss} in epoch {epoch}, at learning rate "
                    f"{rate:.3g}. Lower `finetune.learning_rate`. The checkpoint of the last good epoch is kept."
                )
            entry = {
                "train_loss": train_loss,
                "validation_loss": loss,
                "validation_accuracy": accuracy,
                "learning_rate": rate,
            }
            history.append(entry)
            if not best or (accuracy, -loss) > _score(history[best_epoch - 1]):
                best_epoch = epoch
                best = {k: v.detach().cpu().clone() for k, v in net.state_dict().items()}
            write_atomically(
                path,
                classifier.state_to_bytes(
                    {
                        "fingerprint": key,
                        "net": net.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "history": history,
                        "best": best,
                        "best_epoch": best_epoch,
                    }
                ),
            )
            measured(step, epoch, entry)
            advance(step, epoch, f"validation accuracy {accuracy:.2%}{note}")
    finally:
        torch.set_num_threads(threads)
        for listener in listeners:
            listener.ended(step)
    return Trained(best, tuple(history), best_epoch, resumed)


def _score(entry: Mapping[str, float]) -> tuple[float, float]:
    return entry["validation_accuracy"], -entry["validation_loss"]


def _accelerator(parameters: FinetuneParameters) -> torch.device:
    if parameters.accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError("finetune.accelerator is 'cuda' but PyTorch finds no CUDA device; set 'cpu' or 'auto'")
    cuda = parameters.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if cuda else "cpu")


def _resume(path: Path, key: str) -> dict[str, Any] | None:
    """Return the checkpoint at `path` if it belongs to exactly this training."""
    if not path.is_file():
        return None
    try:
        state = classifier.state_from_bytes(path.read_bytes(), str(path))
    except ModelError:
        return None
    return state if state.get("fingerprint") == key else None


def _epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    samples: Samples,
    split: Split,
    p: FinetuneParameters,
    epoch: int,
    device: torch.device,
    name: str,
) -> tuple[float, float]:
    """Train one epoch. All randomness comes from (seed, epoch), so a resumed run draws the same numbers."""
    seed = int(np.random.SeedSequence([p.seed, epoch]).generate_state(1)[0])
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    order = [split.train[i] for i in torch.randperm(len(split.train), generator=generator).tolist()]
    steps = math.ceil(len(order) / p.batch_size)
    net.train()
    total = seen = 0.0
    rate = p.learning_rate
    for step, (images, labels) in enumerate(batches(samples, order, p.batch_size)):
        if len(labels) < 2:
            continue
        rate = _rate(p, (epoch - 1) * steps + step, steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = augment(torch.from_numpy(images), p.augment, generator).to(device)
        loss = F.cross_entropy(net(x), torch.from_numpy(labels).to(device), label_smoothing=p.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"{name}: the loss became {loss.item()} in epoch {epoch}, step {step + 1}, at learning rate "
                f"{rate:.3g}. Lower `finetune.learning_rate` or check the images for NaN. "
                "The checkpoint of the last good epoch is kept."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(labels)
        seen += len(labels)
    return total / seen, rate


def _rate(p: FinetuneParameters, step: int, steps: int) -> float:
    """Linear warm-up, then cosine decay to 1% of the learning rate."""
    warmup, total = p.warmup_epochs * steps, p.epochs * steps
    if step < warmup:
        return p.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(total - warmup, 1)
    return p.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def augment(images: torch.Tensor, p: AugmentParameters, generator: torch.Generator) -> torch.Tensor:
    """Rotate, shift and scale each image (n, c, h, w) at random; pixels from outside are 0."""

    def uniform(limit: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * limit

    angle, scale = uniform(math.radians(p.rotate_degrees)), 1 + uniform(p.scale)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack([cos, -sin, 2 * uniform(p.shift), sin, cos, 2 * uniform(p.shift)], 1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def _evaluate(
    net: nn.Module, samples: Samples, indices: tuple[int, ...], size: int, device: torch.device
) -> tuple[float, float]:
    net.eval()
    loss = right = 0.0
    for images, labels in batches(samples, indices, size):
        logits, y = net(torch.from_numpy(images).to(device)), torch.from_numpy(labels).to(device)
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        right += float((logits.argmax(1) == y).sum())
    return loss / len(indices), right / len(indices)
