"""The charts of the comparison's report, drawn by plotly."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from edge_pipeline.core.types import Profile
from edge_pipeline.pipelines.compare.results import TargetResults

UNITS = {"npu": "#2a9d8f", "gpu": "#e9c46a", "cpu": "#e76f51"}
"""Colours of the compute units."""

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


def accuracy(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the accuracy of every target with its interval."""
    from plotly.graph_objects import Figure, Scatter

    known = [row for row in rows if row.get("accuracy") is not None]
    if not known:
        return None
    values = [100 * row["accuracy"] for row in known]
    ends = [(row.get("accuracy_low"), row.get("accuracy_high")) for row in known]
    above = [0 if high is None else 100 * high - value for (_, high), value in zip(ends, values, strict=True)]
    below = [0 if low is None else value - 100 * low for (low, _), value in zip(ends, values, strict=True)]
    figure = Figure(
        Scatter(
            x=values,
            y=[short(row["target"]) for row in known],
            mode="markers",
            marker={"color": COLOURS[0], "size": 11},
            error_x={"type": "data", "symmetric": False, "array": above, "arrayminus": below},
            hovertemplate="%{y}: %{x:.2f}%<extra></extra>",
        )
    )
    least = min(value - one for value, one in zip(values, below, strict=True))
    figure.update_layout(
        title="Accuracy (%) with 95% confidence interval",
        template="simple_white",
        height=160 + 34 * len(known),
        yaxis_autorange="reversed",
        yaxis_automargin=True,
        xaxis_range=[max(0.0, least - 10), min(100.5, max(map(sum, zip(values, above, strict=True))) + 2)],
    )
    return figure


def trade(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw median latency, with a line to the 99th percentile, against accuracy; the Pareto front is joined."""
    from plotly.graph_objects import Figure, Scatter

    known = [row for row in rows if row.get("accuracy") is not None and (row.get("latency_p50_ms") or 0) > 0]
    if not known:
        return None
    figure = Figure()
    for number, device in enumerate(dict.fromkeys(row["device"] for row in known)):
        mine, colour = [row for row in known if row["device"] == device], COLOURS[number % len(COLOURS)]
        tails = [max(0.0, (row.get("latency_p99_ms") or row["latency_p50_ms"]) - row["latency_p50_ms"]) for row in mine]
        figure.add_trace(
            Scatter(
                name=device,
                x=[row["latency_p50_ms"] for row in mine],
                y=[100 * row["accuracy"] for row in mine],
                text=[f"{row['runtime']}/{row['precision']}" for row in mine],
                mode="markers+text",
                textposition="top center",
                marker={
                    "size": 11,
                    "color": [colour if row["pareto"] else "white" for row in mine],
                    "line": {"color": colour, "width": 2},
                },
                error_x={"type": "data", "symmetric": False, "array": tails, "arrayminus": [0] * len(mine), "width": 3},
                hovertemplate="%{text}: %{x:.3g} ms, %{y:.2f}%<extra>" + escape(device) + "</extra>",
            )
        )
        front = sorted((row for row in mine if row["pareto"]), key=lambda row: row["latency_p50_ms"])
        figure.add_trace(
            Scatter(
                name=f"{device}: Pareto front",
                x=[row["latency_p50_ms"] for row in front],
                y=[100 * row["accuracy"] for row in front],
                mode="lines",
                line={"color": colour, "dash": "dot", "width": 1},
                hoverinfo="skip",
            )
        )
    figure.update_layout(
        title="Accuracy (%) against median latency (ms), the line reaches to the 99th percentile; filled: Pareto front",
        template="simple_white",
        height=480,
        xaxis_title="latency (ms), logarithmic",
        yaxis_title="accuracy (%)",
        xaxis_type="log",
    )
    return figure


def placement(found: Sequence[TargetResults]) -> Any:
    """Draw the share of layers on each compute unit."""
    from plotly.graph_objects import Bar, Figure

    placed = {
        one.target.name: Counter(layer.compute_unit for layer in result.layers)
        for one in found
        for result in one.results
        if isinstance(result, Profile) and result.layers
    }
    if not placed:
        return None
    names = [short(one) for one in placed]
    figure = Figure()
    for unit in dict.fromkeys(unit for counts in placed.values() for unit in counts):
        shares = [100 * counts[unit] / counts.total() for counts in placed.values()]
        figure.add_trace(Bar(name=unit, x=shares, y=names, orientation="h", marker_color=UNITS.get(unit, "#999")))
    figure.update_layout(
        title="Placement: layers (%) by compute unit",
        template="simple_white",
        barmode="stack",
        height=160 + 34 * len(names),
        yaxis_autorange="reversed",
        yaxis_automargin=True,
        showlegend=True,
    )
    return figure


def short(target: str) -> str:
    """Return the name of a target without its model's."""
    return target.partition("@")[2]
