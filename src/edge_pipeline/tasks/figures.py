"""The quality of a model's targets side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from edge_pipeline.tasks.palette import colour

MAX_LABELS = 30
"""A confusion matrix of more classes shows neither their names nor its counts."""

MAX_BARS = 20
"""Classes, or metrics, that are drawn; of more, those that differ most between the targets."""

Result = tuple[str, Mapping[str, float], Mapping[str, Any]]
"""Name of a target, its metrics and the details of its evaluator."""


def quality_figure(results: Sequence[Result], classes: Sequence[str], task: str) -> Figure:
    """Draw what tells the targets' errors apart.

    Classification: a confusion matrix each. Detection, instance segmentation: average precision at IoU 0.5 of every
    class. Semantic segmentation: IoU of every class. Custom: the metrics themselves, so give only those to be drawn.
    """
    if task == "classification":
        return _confusions(results, classes)
    if task == "custom":
        return _metrics(results)
    if task == "semantic_segmentation":
        values = [[metrics.get(f"iou_{name}", np.nan) for name in classes] for _, metrics, _ in results]
        return _bars(results, classes, values, "IoU")
    values = [[details["classes"][name].get("ap50", np.nan) for name in classes] for _, _, details in results]
    return _bars(results, classes, values, "AP50 of masks" if task == "instance_segmentation" else "AP50")


def _confusions(results: Sequence[Result], classes: Sequence[str]) -> Figure:
    columns = min(2, max(len(results), 1))
    rows = max(1, -(-len(results) // columns))
    figure = Figure(figsize=(4.6 * columns, 4.4 * rows), layout="constrained")
    for place, (title, metrics, details) in enumerate(results, start=1):
        axes = figure.add_subplot(rows, columns, place)
        counts = np.asarray(details["confusion"])
        axes.imshow(np.log1p(counts), cmap="Blues")
        axes.set_title(f"{title}\naccuracy {metrics['accuracy']:.2%} of {details['samples']}", fontsize=9)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
        if len(classes) <= MAX_LABELS:
            axes.set_xticks(range(len(classes)), classes, fontsize=7, rotation=90)
            axes.set_yticks(range(len(classes)), classes, fontsize=7)
            dark = np.log1p(counts) > np.log1p(counts.max()) / 2
            for (y, x), count in np.ndenumerate(counts):
                if count:
                    axes.text(x, y, count, ha="center", va="center", fontsize=6, color="w" if dark[y, x] else "k")
    return figure


def _bars(results: Sequence[Result], classes: Sequence[str], values: Sequence[Sequence[float]], what: str) -> Figure:
    """Draw a group of horizontal bars for every class that has a value, a bar for every target."""
    table = np.asarray(values, np.float64).reshape(len(results), len(classes))
    known = np.flatnonzero(~np.isnan(table).all(0))
    table = table[:, known]
    shown, note = np.arange(len(known)), ""
    if len(known) > MAX_BARS:
        several = len(results) > 1
        order = np.nanmin(table, 0) - np.nanmax(table, 0) if several else table[0]
        shown = np.argsort(order, kind="stable")[:MAX_BARS]
        reason = "that differ most between targets" if several else "with the lowest values"
        note = f", the {MAX_BARS} of {len(known)} classes {reason}"
    count = max(1, len(results))
    figure = Figure(figsize=(7.2, 1.1 + len(shown) * (0.14 + 0.13 * count) + 0.18 * count), layout="constrained")
    axes = figure.add_subplot()
    for place, ((title, metrics, _), row) in enumerate(zip(results, table[:, shown], strict=True)):
        heights = np.arange(len(shown)) + (place + 0.5) * 0.84 / count - 0.42
        label = f"{title}  {metrics['accuracy']:.1%}" if "accuracy" in metrics else title
        axes.barh(heights, np.nan_to_num(row), 0.84 / count * 0.92, color=colour(place), label=label)
        for y, value in zip(heights, row, strict=True):
            if not np.isnan(value):
                axes.text(value + 0.005, y, f"{value:.2f}", va="center", fontsize=5.5)
    axes.set_yticks(range(len(shown)), [classes[known[index]] for index in shown], fontsize=7)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1.06)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(f"{what} of every class{note}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if results:
        figure.legend(loc="outside lower left", fontsize=7, frameon=False, title="target, accuracy", title_fontsize=7)
    return figure


def _metrics(results: Sequence[Result]) -> Figure:
    """Draw every metric for itself, a bar for every target: their units differ."""
    names = list(dict.fromkeys(name for _, metrics, _ in results for name in metrics))
    figure = Figure(figsize=(7.2, 0.5 + max(1, len(names)) * (0.45 + 0.2 * max(1, len(results)))), layout="constrained")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(len(names), 1, place)
        found = [metrics.get(name, np.nan) for _, metrics, _ in results]
        bars = axes.barh(
            range(len(results)), np.nan_to_num(found), 0.75, color=[colour(index) for index in range(len(results))]
        )
        axes.bar_label(bars, ["" if np.isnan(value) else f"{value:.4g}" for value in found], fontsize=6, padding=2)
        axes.set_yticks(range(len(results)), [title for title, _, _ in results], fontsize=7)
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(name, fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
