"""The comparison of all targets of a model as one HTML file that needs nothing else, not even a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from edge_pipeline.pipelines.compare.changes import Change
from edge_pipeline.pipelines.compare.charts import accuracy, placement, short, trade
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import Recommendation
from edge_pipeline.pipelines.gate.measures import PER_CLASS, measure

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

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2em auto; max-width: 1200px; padding: 0 1em }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .3em .8em; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
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
    figures = [one for one in (accuracy(rows), trade(rows), placement(facts.found)) if one is not None]
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
    if change.relative and change.before > 0:
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
        said = f'<p class="box">Recommended: <b>{escape(short(one.target))}</b>: {escape(one.reason)}.</p>'
    else:
        said = f'<p class="none">No target is recommended: {escape(one.reason)}.</p>'
    missed = [c for c in one.candidates if c.misses]
    items = "".join(f"<li>{escape(short(c.target))}: {escape('; '.join(c.misses))}</li>" for c in missed)
    why = f"<p>Not meeting every limit:</p><ul>{items}</ul>" if missed else ""
    return ["<h2>The target to ship</h2>", wish, said, why]


def _targets(facts: Facts, rows: Sequence[Mapping[str, Any]]) -> str:
    from edge_pipeline.pipelines.compare.table import NOT_OF_TASK

    own = [(name, name) for name in facts.table.columns if name not in NOT_OF_TASK]
    columns = [COLUMNS[0], *own, *COLUMNS[1:]]
    columns = [one for one in columns if any(row.get(one[0]) is not None for row in rows)]
    head = "".join(f"<th>{escape(title)}</th>" for _, title in columns)
    body, notes = "", ""
    for row in rows:
        chosen = facts.recommendation is not None and facts.recommendation.target == row["target"]
        cells = "".join(f"<td>{escape(_cell(row, name, facts.task))}</td>" for name, _ in columns)
        status = "" if row["status"] == "ok" else row["status"]
        said = "; ".join(one for one in (status, row["warnings"]) if one)
        name = escape(short(row["target"]))
        front = "yes" if row["pareto"] else ""
        body += f"<tr{' class=chosen' if chosen else ''}><td>{name}</td>{cells}<td>{front}</td></tr>"
        notes += f"<li>{name}: {escape(said)}</li>" if said else ""
    return (
        f'<div class="wide"><table><tr><th>target</th>{head}<th>Pareto</th></tr>{body}</table></div>'
        '<p class="small">In brackets the 95% confidence interval. Pareto: no other target of the device is at least '
        "as good in accuracy, median latency and memory, and better in one. What was not measured is a dash.</p>"
        + (f"<ul>{notes}</ul>" if notes else "")
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
    title = f"<h2>Compared with {escape(facts.against)}</h2>"
    every = [(target, one) for target, found in facts.changes.items() for one in found.values()]
    if not every:
        return [title, "<p>No target has been measured in both.</p>"]
    classes = tuple(set(PER_CLASS[facts.task].values()))
    quiet = [pair for pair in every if classes and pair[1].metric.startswith(classes) and _same(pair[1])]
    bases = list(dict.fromkeys(one.basis for _, one in every if one.basis))
    parts = [title, _changes([pair for pair in every if pair not in quiet], facts.task, bases)]
    if quiet:
        said = f"{len(quiet)} metrics of single classes without a difference"
        parts.append(f"<details><summary>{said}</summary>{_changes(quiet, facts.task, bases)}</details>")
    numbered = "; ".join(f"({number}) {basis}" for number, basis in enumerate(bases, start=1))
    return [*parts, f'<p class="small">From: {escape(numbered)}.</p>'] if bases else parts


def _same(change: Change) -> bool:
    return change.verdict not in ("better", "worse")


def _changes(pairs: Sequence[tuple[str, Change]], task: str, bases: Sequence[str]) -> str:
    """Return the changes as a table, whose last column is the number of what each is made of among `bases`."""
    rows = ""
    for target, one in pairs:
        before, after, change, interval = change_text(one, task)
        texts = (one.metric, before, after, change, interval or "-")
        cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
        kind = "" if _same(one) else f' class="{one.verdict}"'
        source = f"({bases.index(one.basis) + 1})" if one.basis else ""
        verdict = f"<td{kind}>{one.verdict or 'not known'}</td><td>{source}</td>"
        rows += f"<tr><td>{escape(short(target))}</td>{cells}{verdict}</tr>"
    titles = ("target", "metric", "before", "now", "change", "95% interval", "verdict", "from")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
