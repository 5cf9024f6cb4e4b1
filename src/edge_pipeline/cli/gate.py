"""`kedro edge gate`."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_pipeline.pipelines.gate.judge import Judgement, Verdict

STYLES = {"met": "green", "within noise": "yellow", "first release": "yellow", "tolerated": "yellow", "broken": "red"}


@click.command("gate")
@click.argument("model")
@env_option
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML for CI to this file.")
@click.pass_obj
def command(metadata: Any, model: str, env: str | None, junit: Path | None) -> None:
    """Judge the targets of a model by the rules of gates.yml.

    Reads what `kedro run` has measured, and what is kept of the champion; runs nothing. Prints every rule with its
    value and its limit, logs the MLflow run MODEL/gate, and exits with status 1 if a rule is broken.
    """
    from edge_pipeline.cli.measured import earlier, measured
    from edge_pipeline.core.errors import TrackingError
    from edge_pipeline.core.files import write_atomically
    from edge_pipeline.hooks.group import run_group
    from edge_pipeline.hooks.records import Times, shared_tags
    from edge_pipeline.hooks.tracking import Tracker
    from edge_pipeline.hooks.verdicts import gate_record
    from edge_pipeline.pipelines.gate.judge import judge
    from edge_pipeline.pipelines.gate.junit import junit_xml

    started = int(time.time() * 1000)
    now = measured(metadata, model, env)
    champion = earlier(now.project, model, "champion")
    judgement = judge(
        model, now.project, now.found, champion.found if champion else [], champion.release if champion else None
    )
    print_judgement(judgement)
    if junit:
        write_atomically(junit, junit_xml(judgement))
        click.echo(f"JUnit: {junit}")
    tracker = Tracker(now.project.tracking, now.project.root)
    tags = shared_tags(now.project.root, run_group())
    tracker.complete(gate_record(now.project, tags, judgement, Times(started, int(time.time() * 1000))))
    click.echo(f"MLflow: run {model}/gate in {tracker.uri}")
    try:
        tracker.finish()
    except TrackingError as error:
        if judgement.passed:
            raise
        click.echo(str(error), err=True)
    if not judgement.passed:
        lines = [f"\n  - {one}" for one in broken_rules(judgement)]
        count = "1 rule is" if len(lines) == 1 else f"{len(lines)} rules are"
        raise click.ClickException(f"{model} does not pass its gate, {count} broken:{''.join(lines)}")
    click.echo(f"{model} passes its gate.")


def broken_rules(judgement: "Judgement") -> list[str]:
    """Return a line for each broken rule: the target, the rule, its value, its limit and why."""
    from edge_pipeline.pipelines.gate.junit import described

    return [f"{one.target}: {one.title}: {described(one)}" for one in judgement.broken]


def print_judgement(judgement: "Judgement") -> None:
    """Print one line a rule and target, the reasons below, and the notices."""
    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.pipelines.gate.junit import shown

    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if known_width else 200, markup=False, highlight=False)
    against = f"version {judgement.champion}" if judgement.champion is not None else "none yet"
    console.print(f"Champion of {judgement.model}: {against}")
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("target", "rule"):
        view.add_column(title, overflow="fold")
    for title in ("value", "limit"):
        view.add_column(title, justify="right", no_wrap=True)
    view.add_column("verdict", no_wrap=True)
    view.add_column("why", overflow="fold")
    for one, count in _folded(judgement.verdicts):
        target = one.target.partition("@")[2] or one.target
        title = one.title if count == 1 else f"{one.rule} ({count} classes, least room: {one.of_class})"
        numbers = (shown(one, one.value), shown(one, one.limit))
        view.add_row(target, title, *numbers, one.outcome, one.reason, style=STYLES[one.outcome])
    console.print(view)
    for notice in judgement.notices:
        console.print(notice, style="yellow")


def _folded(verdicts: "Sequence[Verdict]") -> "list[tuple[Verdict, int]]":
    """Return the verdicts with their number; the classes that meet a rule are one, the nearest to the limit."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for index, one in enumerate(verdicts):
        alone = "" if one.of_class and one.outcome == "met" else str(index)
        groups.setdefault((one.target, one.rule, alone), []).append(one)
    return [(min(ones, key=_room), len(ones)) for ones in groups.values()]


def _room(verdict: "Verdict") -> float:
    return abs(verdict.value - verdict.limit) if verdict.value is not None and verdict.limit is not None else 0.0
