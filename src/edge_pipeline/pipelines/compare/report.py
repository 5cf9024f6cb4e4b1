"""The comparison of all targets of a model as one HTML file that needs nothing else, not even a network."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from edge_pipeline.core.types import Profile
from edge_pipeline.pipelines.compare.changes import Change
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import Recommendation
from edge_pipeline.pipelines.gate.measures import measure

COLUMNS = (
    ("accuracy", "accuracy"),
    ("latency_p50_ms", "p50"),
    ("latency_p99_ms", "p99"),
    ("peak_memory_mb", "memory"),
    ("energy_mj", "energy"),
    ("size_mb", "size"),
    ("npu_layers_pct", "on NPU"),
)
"""Metric and title of the columns that every task has."""

UNITS = {"npu": "#2a9d8f", "gpu": "#e9c46a", "cpu": "#e76f51"}
"""Colours of the compute units."""

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 1200px; padding: 0 1em }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap }
th:first-child, td:first-child, td.text { text-align: left } td.text { white-space: normal }
.box { background: #eef6f4; border-left: 4px solid #2a9d8f; padding: .7em 1em }
.none { background: #fbeee9; border-left: 4px solid #e76f51; padding: .7em 1em }
.worse { color: #b3261e; font-weight: 600 } .better { color: #1b7f5c; font-weight: 600 } .small { color: #666 }
tr.chosen { background: #eef6f4; font-weight: 600 }
"""


@dataclass(frozen=True)
class Facts:
    """What a report shows.

    Attributes:
        model: its name.
        task: of the model.
        made: when and by what it was made, for its foot.
        found: the targets.
        table: the data frame of `comparison_table`.
        recommendation: `None` where nobody said what is wanted.
        against: how the model's other results are called; empty where there are none.
        changes: by name of a target.
        notes: sentences that the reader must know.
    """

    model: str
    task: str
    made: str
    found: Sequence[TargetResults]
    table: Any
    recommendation: Recommendation | None = None
    against: str = ""
    changes: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def html_report(facts: Facts) -> bytes:
    """Return the report as HTML with plotly's code in it."""
    rows = facts.table.to_dict("records")
    figures = [one for one in (_accuracy(rows), _trade(rows), _placement(facts.found)) if one is not None]
    drawn = [
        one.to_html(full_html=False, include_plotlyjs=index == 0, config={"displaylogo": False, "responsive": True})
        for index, one in enumerate(figures)
    ]
    parts = [
        f"<h1>{escape(facts.model)}: {len(rows)} targets side by side</h1>",
        *(f'<p class="small">{escape(one)}</p>' for one in facts.notes),
        *_recommended(facts.recommendation),
        "<h2>All targets</h2>",
        _targets(facts, rows),
        *drawn,
        *_compared(facts),
        f'<p class="small">{escape(facts.made)}</p>',
    ]
    page = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(facts.model)}: comparison</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    return page.encode()


def change_text(change: Change, task: str) -> tuple[str, str, str, str]:
    """Return what was before, what is after, the change, and its interval (empty if unknown) of one metric."""
    metric = measure(change.metric, task, None)
    before, after = metric.text(change.before), metric.text(change.after)
    if change.relative:
        quotients = [
            f"{100 * (one - 1):+.1f}%" for one in (change.after / change.before, change.low, change.high) if one
        ]
        return before, after, quotients[0], " to ".join(quotients[1:])
    interval = ""
    if change.low is not None and change.high is not None:
        interval = f"{metric.difference(change.low)} to {metric.difference(change.high)}"
    return before, after, metric.difference(change.after - change.before), interval


def _recommended(one: Recommendation | None) -> list[str]:
    if one is None:
        return []
    wish = f'<p class="small">Wanted: {escape(one.selection.text)}</p>'
    if one.target:
        said = f'<p class="box">Recommended: <b>{escape(_short(one.target))}</b>: {escape(one.reason)}.</p>'
    else:
        said = f'<p class="none">No target is recommended: {escape(one.reason)}.</p>'
    missed = [c for c in one.candidates if c.misses]
    items = "".join(f"<li>{escape(_short(c.target))}: {escape('; '.join(c.misses))}</li>" for c in missed)
    why = f"<p>Not meeting every limit:</p><ul>{items}</ul>" if missed else ""
    return ["<h2>The target to ship</h2>", wish, said, why]


def _targets(facts: Facts, rows: Sequence[Mapping[str, Any]]) -> str:
    from edge_pipeline.pipelines.compare.table import NOT_OF_TASK

    own = [(name, name) for name in facts.table.columns if name not in NOT_OF_TASK]
    columns = [COLUMNS[0], *own, *COLUMNS[1:]]
    columns = [one for one in columns if any(row.get(one[0]) is not None for row in rows)]
    head = "".join(f"<th>{escape(title)}</th>" for _, title in columns)
    body = ""
    for row in rows:
        chosen = facts.recommendation is not None and facts.recommendation.target == row["target"]
        cells = "".join(f"<td>{escape(_cell(row, name, facts.task))}</td>" for name, _ in columns)
        status = "" if row["status"] == "ok" else row["status"]
        said = "; ".join(one for one in (status, row["warnings"]) if one)
        body += (
            f"<tr{' class=chosen' if chosen else ''}><td>{escape(_short(row['target']))}</td>{cells}"
            f'<td>{"yes" if row["pareto"] else ""}</td><td class="text">{escape(said)}</td></tr>'
        )
    return (
        f'<div class="wide"><table><tr><th>target</th>{head}<th>Pareto</th><th></th></tr>{body}</table></div>'
        '<p class="small">In brackets the 95% confidence interval. Pareto: no other target of the device is at least '
        "as good in accuracy, median latency and memory, and better in one. What was not measured is a dash.</p>"
    )


def _cell(row: Mapping[str, Any], name: str, task: str) -> str:
    value = row.get(name)
    if value is None:
        return "-"
    text = measure(name, task, None).text(value)
    low, high = row.get("accuracy_low"), row.get("accuracy_high")
    if name == "accuracy" and low is not None and high is not None:
        return f"{text} ({100 * low:.1f} to {100 * high:.1f}%)"
    return text


def _compared(facts: Facts) -> list[str]:
    if not facts.against:
        return []
    rows = ""
    for target, found in facts.changes.items():
        for name, one in found.items():
            before, after, change, interval = change_text(one, facts.task)
            verdict = one.verdict or "not known"
            kind = f' class="{one.verdict}"' if one.verdict in ("better", "worse") else ""
            cells = "".join(f"<td>{escape(text)}</td>" for text in (name, before, after, change, interval or "-"))
            rows += (
                f"<tr><td>{escape(_short(target))}</td>{cells}<td{kind}>{verdict}</td>"
                f'<td class="text">{escape(one.basis)}</td></tr>'
            )
    titles = ("target", "metric", "before", "now", "change", "95% interval", "verdict", "from")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return [
        f"<h2>Compared with {escape(facts.against)}</h2>",
        f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
        if rows
        else "<p>No target has been measured in both.</p>",
    ]


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the accuracy of every target with its interval."""
    from plotly.graph_objects import Bar, Figure

    known = [row for row in rows if row.get("accuracy") is not None]
    if not known:
        return None
    values = [100 * row["accuracy"] for row in known]
    ends = [(row.get("accuracy_low"), row.get("accuracy_high")) for row in known]
    above = [0 if high is None else 100 * high - value for (_, high), value in zip(ends, values, strict=True)]
    below = [0 if low is None else value - 100 * low for (low, _), value in zip(ends, values, strict=True)]
    figure = Figure(
        Bar(
            x=values,
            y=[_short(row["target"]) for row in known],
            orientation="h",
            marker_color=COLOURS[0],
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


def _trade(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw median latency, with a line to the 99th percentile, against accuracy; the Pareto front is joined."""
    from plotly.graph_objects import Figure, Scatter

    known = [row for row in rows if row.get("accuracy") is not None and row.get("latency_p50_ms") is not None]
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
        xaxis_title="latency (ms)",
        yaxis_title="accuracy (%)",
        xaxis_rangemode="tozero",
    )
    return figure


def _placement(found: Sequence[TargetResults]) -> Any:
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
    names = [_short(one) for one in placed]
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


def _short(target: str) -> str:
    return target.partition("@")[2]
