"""How much each layer costs when it alone is quantized."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.numerics import IDENTICAL_DB
from edge_pipeline.models.recipes import as_tuple
from edge_pipeline.quantization.data import Batches
from edge_pipeline.quantization.layout import layers, quantizer_slots


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantizing one layer alone, its weights and its output, does to the network's outputs.

    Attributes:
        layer: its name in the traced network.
        kind: its class.
        sqnr_db: SQNR of the network's outputs against the float network's, in dB; of several outputs the lowest.
        share: of the noise power of all layers, if they were independent, what this one makes; 0 to 1.
        metric: of the network, where it was measured.
    """

    layer: str
    kind: str
    sqnr_db: float
    share: float = 0.0
    metric: float | None = None


@torch.no_grad()
def sensitivity(
    sim: Any, batches: Batches, measure: Callable[[nn.Module], float] | None, tell: Callable[[int, str], None]
) -> list[LayerSensitivity]:
    """Return all layers of a calibrated simulation, the most sensitive first. The simulation is as before afterwards.

    Args:
        sim: the simulation.
        batches: inputs to compare on.
        measure: returns the metric of a network, if that is wanted.
        tell: is called after each layer with their number so far and the layer's name.
    """
    model = sim.model
    names = layers(model)
    with _without_quantizers(model) as slots:
        compare = outputs_sqnr(model, batches)
        found = []
        for done, name in enumerate(names, start=1):
            mine = slots[name]
            for holder, key, quantizer in mine:
                holder[key] = quantizer
            found.append(
                LayerSensitivity(
                    name,
                    type(model.get_submodule(name)).__name__.removeprefix("Quantized"),
                    compare(model),
                    metric=measure(model) if measure else None,
                )
            )
            for holder, key, _ in mine:
                holder[key] = None
            tell(done, name)
    noises = [10 ** (-one.sqnr_db / 10) for one in found]
    total = sum(noises)
    shared = [
        LayerSensitivity(one.layer, one.kind, one.sqnr_db, noise / total, one.metric)
        for one, noise in zip(found, noises, strict=True)
    ]
    return sorted(shared, key=lambda one: one.sqnr_db)


def worth_overriding(found: Sequence[LayerSensitivity], share: float = 0.8) -> list[str]:
    """Return the fewest layers that together make `share` of the noise, the most sensitive first."""
    chosen: list[str] = []
    covered = 0.0
    for one in found:
        if covered >= share:
            break
        chosen.append(one.layer)
        covered += one.share
    return chosen


@contextlib.contextmanager
def _without_quantizers(model: nn.Module) -> Iterator[dict[str, list[tuple[Any, Any, Any]]]]:
    """Take all quantizers out for a while; yields those of each layer and of what is inside it, with their places."""
    slots = {
        name: [
            (holder, key, holder[key])
            for part in model.get_submodule(name).modules()
            for holder, key in list(quantizer_slots(part))
        ]
        for name in layers(model)  # type: ignore[arg-type]
    }
    for places in slots.values():
        for holder, key, _ in places:
            holder[key] = None
    try:
        yield slots
    finally:
        for places in slots.values():
            for holder, key, quantizer in places:
                holder[key] = quantizer


@torch.no_grad()
def outputs_sqnr(reference: nn.Module, batches: Batches) -> Callable[[nn.Module], float]:
    """Return what measures the SQNR in dB of a network's outputs against `reference`; the lowest of several."""
    wanted = [as_tuple(reference(*inputs)) for inputs in batches]

    @torch.no_grad()
    def compare(model: nn.Module) -> float:
        signal, noise = [0.0] * len(wanted[0]), [0.0] * len(wanted[0])
        for inputs, references in zip(batches, wanted, strict=True):
            for index, (found, want) in enumerate(zip(as_tuple(model(*inputs)), references, strict=True)):
                signal[index] += float((want.double() ** 2).sum())
                noise[index] += float(((found - want).double() ** 2).sum())
        ratios = [
            10 * math.log10(max(s, 1e-300) / n) if n else IDENTICAL_DB for s, n in zip(signal, noise, strict=True)
        ]
        return max(min(*ratios, IDENTICAL_DB), -IDENTICAL_DB)

    return compare
