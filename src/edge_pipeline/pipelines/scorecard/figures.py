"""Figures of a model's targets, as small multiples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from edge_pipeline.core.types import Profile


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
