"""Figures of a model's targets, as small multiples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from edge_pipeline.core.types import Profile


def latency_figure(profiles: Sequence[Profile]) -> Figure:
    """Draw one histogram of inference times per target, its two repeats side by side, up to the 99.5th percentile.

    Targets without times are left out: those of an emulator, and of a program that tells no single ones.
    """
    profiles = [one for one in profiles if any(repeat.samples_ms for repeat in one.repeats)]
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


def sustained_figure(profile: Profile) -> Figure:
    """Draw latency over the time of the sustained run, and below it temperature and frequency where those are known."""
    readings = next(one.readings["sustained"] for one in profile.repeats if "sustained" in one.readings)
    points = readings["points"]
    curves = [
        ("p50_ms", "latency (ms)"),
        ("temperature_c", f"{readings['temperature']} (°C)"),
        ("frequency_mhz", f"{readings['frequency']} (MHz)"),
    ]
    curves = [(key, label) for key, label in curves if any(value is not None for value in points[key])]
    figure = Figure(figsize=(7.0, 1.5 * len(curves) + 0.5), layout="constrained")
    for index, (key, label) in enumerate(curves, start=1):
        axes = figure.add_subplot(len(curves), 1, index)
        axes.plot(points["seconds"], [np.nan if value is None else value for value in points[key]], linewidth=1.0)
        axes.set_ylabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        if key == "p50_ms":
            axes.set_ylim(bottom=0)
            axes.set_title(profile.target, fontsize=9, loc="left")
    figure.axes[-1].set_xlabel("time (s)", fontsize=8)
    return figure


UNITS = {"npu": "tab:green", "gpu": "tab:blue", "cpu": "tab:orange"}
"""Compute units in the order and colours in which they are drawn."""


def placement_figure(profiles: Sequence[Profile]) -> Figure:
    """Draw for each target which share of its layers, and of its time where that is known, each compute unit has."""
    rows: list[tuple[str, dict[str, float]]] = []
    for one in profiles:
        counts, times = dict.fromkeys(UNITS, 0.0), dict.fromkeys(UNITS, 0.0)
        for layer in one.layers:
            counts[layer.compute_unit] = counts.get(layer.compute_unit, 0.0) + 1
            times[layer.compute_unit] = times.get(layer.compute_unit, 0.0) + (layer.time_ms or 0.0)
        for name, values in ((f"{len(one.layers)} layers", counts), ("time", times)):
            if sum(values.values()):
                total = sum(values.values())
                rows.append((f"{one.target}, {name}", {unit: 100 * value / total for unit, value in values.items()}))
    figure = Figure(figsize=(7.0, 0.32 * max(1, len(rows)) + 1.0), layout="constrained")
    axes = figure.add_subplot()
    for index, (_, shares) in enumerate(rows):
        left = 0.0
        for unit, share in shares.items():
            axes.barh(index, share, left=left, color=UNITS.get(unit, "tab:gray"))
            left += share
    units = dict.fromkeys(unit for _, shares in rows for unit, share in shares.items() if share)
    for unit in units:
        axes.barh(0, 0, color=UNITS.get(unit, "tab:gray"), label=unit)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share (%)", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    if units:
        figure.legend(fontsize=7, loc="outside upper center", ncols=len(units))
    return figure
