"""Figures of a model's targets, as small multiples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from edge_pipeline.core.types import Profile, Validation

MAX_LABELS = 30


def confusion_figure(validations: Sequence[Validation]) -> Figure:
    """Draw one confusion matrix per target: rows are true classes, columns predicted ones."""
    columns = min(2, max(len(validations), 1))
    rows = max(1, -(-len(validations) // columns))
    figure = Figure(figsize=(4.6 * columns, 4.4 * rows), layout="constrained")
    for index, one in enumerate(validations, start=1):
        axes = figure.add_subplot(rows, columns, index)
        counts = np.asarray(one.confusion)
        axes.imshow(np.log1p(counts), cmap="Blues")
        axes.set_title(f"{one.target}\naccuracy {one.metrics['accuracy']:.2%} of {one.samples}", fontsize=9)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
        if len(one.classes) <= MAX_LABELS:
            axes.set_xticks(range(len(one.classes)), one.classes, fontsize=7, rotation=90)
            axes.set_yticks(range(len(one.classes)), one.classes, fontsize=7)
            dark = np.log1p(counts) > np.log1p(counts.max()) / 2
            for (y, x), count in np.ndenumerate(counts):
                if count:
                    axes.text(x, y, count, ha="center", va="center", fontsize=6, color="w" if dark[y, x] else "k")
    return figure


def latency_figure(profiles: Sequence[Profile]) -> Figure:
    """Draw one histogram of inference times per target, its two repeats side by side, up to the 99.5th percentile."""
    rows = max(1, len(profiles))
    figure = Figure(figsize=(7.0, 1.9 * rows + 0.4), layout="constrained")
    for index, one in enumerate(profiles, start=1):
        axes = figure.add_subplot(rows, 1, index)
        end = float(np.percentile(np.concatenate([r.samples_ms for r in one.repeats]), 99.5))
        for number, repeat in enumerate(one.repeats, start=1):
            axes.hist(repeat.samples_ms, bins=80, range=(0, end), alpha=0.6, label=f"repeat {number}")
        axes.axvline(one.metrics["latency_p50_ms"], color="k", linewidth=0.8)
        axes.set_title(f"{one.target}  p50 {one.metrics['latency_p50_ms']:.4g} ms", fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        axes.set_ylabel("inferences", fontsize=8)
        axes.legend(fontsize=7)
        if index == rows:
            axes.set_xlabel("inference time (ms)", fontsize=8)
    return figure
