"""`kedro edge compare`."""

import math
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option

if TYPE_CHECKING:
    from rich.console import Console

    from edge_pipeline.pipelines.compare.differences import Difference

FIRST = ("accuracy", "p50 ms", "Pareto", "memory MB", "on NPU", "energy mJ", "95% interval", "p99 ms", "size MB")
"""Columns in the order in which a narrow terminal keeps them; the others come after."""

UNSHOWN = ("accuracy_vs_float", "sqnr_float_db")
"""Columns of the scorecard that are not shown here."""


def _finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no number of decibels", context, option)
    return value


@click.command("compare")
@click.argument("model")
@env_option
@click.option(
    "--tolerance-db",
    type=float,
    callback=_finite,
    help="SQNR below which outputs differ noticeably. [default: 60 for float, 40 for float16, 24 for integers]",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the table to this CSV file too.")
@click.option("--against", help="Compare with `champion`, a release, a folder of results, or the run_group of a run.")
@click.option("--select", help="What to ship: `maximize accuracy subject to latency_p99_ms <= 33 on rb3`.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a report to this HTML file too.")
@click.pass_obj
def command(
    metadata: Any,
    model: str,
    env: str | None,
    tolerance_db: float | None,
    output: Path | None,
    against: str | None,
    select: str | None,
    html: Path | None,
) -> None:
    """Show all targets of a model side by side, and where their outputs differ.

    Reads what `kedro run` has measured, of other environments too, runs nothing, and logs the MLflow run
    MODEL/comparison. Tells which target to ship, and whether the difference from earlier results is more than noise.
    """
    from rich.console import Console

    from edge_pipeline.cli.choosing import (
        changed,
        changes_columns,
        print_changes,
        print_recommendation,
        recommendation,
    )
    from edge_pipeline.cli.measured import earlier, measured
    from edge_pipeline.core.files import write_atomically
    from edge_pipeline.hooks.group import run_group
    from edge_pipeline.hooks.records import Times, comparison_record, shared_tags
    from edge_pipeline.hooks.tracking import Tracker
    from edge_pipeline.pipelines.compare.differences import differences
    from edge_pipeline.pipelines.compare.report import Facts, html_report
    from edge_pipeline.pipelines.compare.table import comparison_table

    started = int(time.time() * 1000)
    now = measured(metadata, model, env)
    project, found, run = now.project, now.found, now.run
    table = comparison_table(found, now.spec)
    if not any(one.measured for one in found):
        reasons = [f"\n  - {_short(row['target'])}: {row['status']}" for row in table.to_dict("records")]
        raise click.ClickException(f"there is nothing to compare of '{model}'; run `{run}`:{''.join(reasons)}")
    choice = recommendation(now, select)
    before = earlier(project, model, against) if against else None
    if against and before is None:
        raise click.ClickException(f"{model} has no release '{against}' in the registry yet: nothing to compare with")
    moved = changed(now, before) if before else {}
    pairs = differences(found, tolerance_db)
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if known_width else 200, markup=False, highlight=False)
    _print_table(console, table)
    _print_problems(console, table, {target.name for target in project.targets(model)}, run)
    _print_differences(console, pairs)
    print_recommendation(console, choice)
    if before:
        print_changes(console, now.spec.task, before, moved, [one for one in found if one.measured])
    if html:
        made = f"kedro edge compare {model}, {datetime.now():%Y-%m-%d %H:%M}"
        notes = _notes(table, before.notice if before else "")
        facts = Facts(model, now.spec.task, made, found, table, choice, before.name if before else "", moved, notes)
        write_atomically(html, html_report(facts))
        click.echo(f"Report: {html}")
    if output:
        write_atomically(output, table.to_csv(index=False).encode())
        click.echo(f"Table: {output}")
    tracker = Tracker(project.tracking, project.root)
    tags = shared_tags(project.root, run_group())
    times = Times(started, int(time.time() * 1000))
    record = comparison_record(model, project, tags, table, pairs, times)
    if choice:
        said = {"select": choice.selection.text, "recommended": choice.target or "none", "reason": choice.reason[:4000]}
        record = replace(record, tags={**record.tags, **said})
    if before:
        record = replace(record, tags={**record.tags, "against": before.name})
        record = record.with_table("changes", changes_columns(moved))
    tracker.complete(record)
    tracker.finish()
    click.echo(f"MLflow: run {model}/comparison in {tracker.uri}")


def _notes(table: Any, notice: str) -> list[str]:
    """Return what a reader of the report must know."""
    generated = table["dataset"].astype(str).str.endswith("(generated)").any()
    notes = ["Accuracy on generated images: it says nothing about real ones."] if generated else []
    if (table["device_kind"] == "htp_emulator").any():
        notes.append("An emulator tells outputs and placement, but no times and no memory.")
    return [*notes, notice] if notice else notes


def _print_table(console: "Console", table: Any) -> None:
    """Print one line a target with the columns that fit."""
    from rich.table import Table

    rows = table.to_dict("records")
    cells = _cells(table)
    targets = [f"{_short(row['target'])}{' *' if row['device_kind'] == 'htp_emulator' else ''}" for row in rows]
    kept = _fitting(cells, console.width - max(map(len, targets)))
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    view.add_column("target", overflow="fold")
    for title in kept:
        view.add_column(title, justify="right", no_wrap=True)
    for name, numbers in zip(targets, zip(*(cells[title] for title in kept), strict=True), strict=True):
        view.add_row(name, *numbers)
    console.print(view)
    left_out = [title for title in cells if title not in kept]
    if left_out:
        console.print(f"Not shown, the terminal is too narrow: {', '.join(left_out)}. --output FILE.csv has all.")
    if any(one.endswith(" *") for one in targets):
        console.print("* an emulator: it tells outputs and placement, but no times and no memory")


def _print_problems(console: "Console", table: Any, configured: Collection[str], run: str) -> None:
    """Print what must be said of each target, and how to make what is missing."""
    rows = table.to_dict("records")
    for row in rows:
        if row["status"] != "ok":
            console.print(f"{_short(row['target'])}: {row['status']}", style="red")
        if row["warnings"]:
            console.print(f"{_short(row['target'])}: {row['warnings']}", style="yellow")
    lacking = {row["target"] in configured for row in rows if row["status"] != "ok"}
    if True in lacking:
        console.print(f"`{run} --only-missing-outputs` makes what failed, is missing or outdated.")
    if False in lacking:
        console.print("Targets that are not configured here are made again with the --env that has their device.")
    if table["dataset"].astype(str).str.endswith("(generated)").any():
        console.print("Accuracy on generated images: it says nothing about real ones.", style="yellow")


def _cells(table: Any) -> dict[str, list[str]]:
    """Return the printed columns by their title; those that nobody measured are left out."""
    from edge_pipeline.hooks.summary import COLUMNS
    from edge_pipeline.pipelines.compare.table import INTERVAL, NOT_OF_TASK

    own = [(name, name, lambda v: f"{v:.4g}") for name in table.columns if name not in NOT_OF_TASK]
    found: dict[str, list[str]] = {}
    for name, title, text in [COLUMNS[0], *own, *COLUMNS[1:]]:
        measured = table[name].dropna()
        if name in UNSHOWN or measured.empty or (name == "npu_layers_pct" and not any(measured)):
            continue
        found[title] = ["-" if value is None else text(value) for value in table[name]]
        if name == "accuracy" and table[INTERVAL[0]].notna().any():
            limits = zip(*(table[end] for end in INTERVAL), strict=True)
            found["95% interval"] = [
                "-" if low is None else f"{100 * low:.1f}-{100 * high:.1f}%" for low, high in limits
            ]
    return {**found, "Pareto": ["yes" if one else "" for one in table["pareto"]]}


def _fitting(cells: Mapping[str, list[str]], room: int) -> list[str]:
    """Return the titles of the columns that fit into `room` characters, the most important ones first considered."""
    kept = set()
    for title in sorted(cells, key=lambda one: FIRST.index(one) if one in FIRST else len(FIRST)):
        width = 2 + max(map(len, (title, *cells[title])))
        if width <= room:
            kept.add(title)
            room -= width
    return [title for title in cells if title in kept]


def _print_differences(console: "Console", pairs: "Sequence[Difference]") -> None:
    """Print the pairs of targets whose outputs differ beyond tolerance, or that there are none."""
    from rich.padding import Padding

    from edge_pipeline.pipelines.compare.differences import worst_samples

    console.print()
    beyond = [one for one in pairs if one.beyond]
    if not pairs:
        console.print("Outputs: there are no two targets of one exported model whose outputs could be compared.")
    elif not beyond:
        least = pairs[0]
        console.print(
            f"Outputs: all {len(pairs)} pairs of targets of one exported model agree within tolerance; least agree "
            f"{_short(least.first)} and {_short(least.second)}, {_decibels(least)}."
        )
    else:
        console.print(f"Outputs: {len(beyond)} of {len(pairs)} pairs of targets of one exported model differ:")
    for one in beyond:
        agreement = "" if one.top1_agreement is None else f", top-1 agreement {one.top1_agreement:.2%}"
        console.print(Padding(f"{_short(one.first)} and {_short(one.second)}", (0, 0, 0, 2)), style="bold")
        text = (
            f"{_decibels(one)} in the output '{one.output}', largest difference {one.max_difference:.4g}{agreement}; "
            f"{one.samples} images, the worst by their index in the dataset: {worst_samples(one)}"
        )
        console.print(Padding(text, (0, 0, 0, 4)))


def _decibels(one: "Difference") -> str:
    return f"{one.sqnr_db:.1f} dB (tolerance {one.tolerance_db:g} dB)"


def _short(target: str) -> str:
    """Return the name of a target without its model's."""
    return target.partition("@")[2]
