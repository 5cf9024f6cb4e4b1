"""What `kedro edge compare` prints beyond the table: the target to ship, and changes against earlier results."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from edge_pipeline.pipelines.compare.changes import Change

if TYPE_CHECKING:
    from rich.console import Console

    from edge_pipeline.cli.measured import Earlier, Measured
    from edge_pipeline.pipelines.compare.selection import Recommendation


def recommendation(now: "Measured", select: str | None) -> "Recommendation | None":
    """Return the target to ship by `select`, or by gates.yml; `None` where nobody says what is wanted.

    Raises:
        ClickException: `select` cannot be read, or names a device that no target is on.
    """
    from edge_pipeline.core.errors import suggest
    from edge_pipeline.pipelines.compare.selection import Selection, recommend
    from edge_pipeline.pipelines.gate.spec import GateSpec

    text = select or now.project.gates.get(now.model, GateSpec()).select
    if text is None:
        return None
    place = "--select" if select else f"gates.yml: {now.model}.select"
    try:
        selection = Selection.parse(text, now.spec.task, now.own)
    except ValueError as error:
        raise click.ClickException(f"{place}: {error}") from error
    devices = now.project.devices
    known = {
        word
        for one in now.found
        for word in (
            one.target.device,
            one.kind,
            *(devices[one.target.device].labels if one.target.device in devices else ()),
        )
    }
    for word in selection.on:
        if word not in known:
            raise click.ClickException(
                f"{place}: no target of {now.model} is on a device, label or kind '{word}'; "
                f"{suggest(word, known - {''})}"
            )
    return recommend(now.found, selection, devices, now.spec.targets.require)


def changed(now: "Measured", before: "Earlier") -> "dict[str, dict[str, Change]]":
    """Return the changes of every target that was measured in both, by name of the target."""
    from edge_pipeline.core.progress import track
    from edge_pipeline.pipelines.compare.changes import changes

    others = {one.target: one for one in before.found}
    both = [one for one in now.found if one.target in others and one.measured and others[one.target].measured]
    wanted = headlines(now)
    return {one.target.name: changes(one, others[one.target], wanted) for one in track(both, "comparing", len(both))}


def headlines(now: "Measured") -> list[str]:
    """Return the metrics that are compared: those of the scorecard, and those of single classes."""
    from edge_pipeline.pipelines.compare.selection import numbers
    from edge_pipeline.pipelines.gate.measures import PER_CLASS
    from edge_pipeline.pipelines.scorecard.nodes import MEASURED, OF_TASK

    prefixes = tuple(dict.fromkeys(PER_CLASS[now.spec.task].values()))[:1]
    every = dict.fromkeys(name for one in now.found for name in numbers(one))
    classes = [name for name in every if prefixes and name.startswith(prefixes)]
    first = [one for one in MEASURED if not one.startswith(("sqnr", "npu"))]
    return list(dict.fromkeys([first[0], *OF_TASK.get(now.spec.task, ()), *now.own, *classes, *first[1:]]))


def changes_columns(found: "Mapping[str, Mapping[str, Change]]") -> dict[str, list[Any]]:
    """Return all changes as the columns of a table."""
    names = [field.name for field in fields(Change)]
    rows = [(target, asdict(one)) for target, ones in found.items() for one in ones.values()]
    return {"target": [target for target, _ in rows], **{name: [one[name] for _, one in rows] for name in names}}


def print_recommendation(console: "Console", found: "Recommendation | None") -> None:
    """Print the target to ship and why, or what each misses."""
    console.print()
    if found is None:
        console.print(
            "To be told which target to ship, say what matters: --select 'maximize accuracy subject to "
            "latency_p99_ms <= 33', or `select` in gates.yml."
        )
        return
    console.print(f"Wanted: {found.selection.text}")
    if found.target:
        console.print(f"Recommended: {found.target.partition('@')[2]}: {found.reason}", style="bold green")
    else:
        console.print(f"Recommended: none, {found.reason}", style="bold red")
    for one in found.candidates:
        if one.misses:
            console.print(f"  {one.target.partition('@')[2]} does not do: {'; '.join(one.misses)}")


def print_changes(
    console: "Console", task: str, before: "Earlier", found: "Mapping[str, Mapping[str, Change]]", every: Sequence[Any]
) -> None:
    """Print one line a target and metric, with the interval and what it says."""
    from rich.table import Table

    from edge_pipeline.pipelines.compare.report import change_text
    from edge_pipeline.pipelines.gate.measures import PER_CLASS

    console.print()
    console.print(f"Compared with {before.name}:", style="bold")
    if before.notice:
        console.print(before.notice, style="yellow")
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    view.add_column("target", overflow="fold")
    view.add_column("metric", overflow="fold")
    for title in ("before", "now", "change", "95% interval"):
        view.add_column(title, justify="right", no_wrap=True)
    view.add_column("verdict")
    styles = {"better": "green", "worse": "red"}
    bases: dict[str, None] = {}
    lacking: dict[str, None] = {}
    unshown, classes = 0, tuple(set(PER_CLASS[task].values()))
    for target, ones in found.items():
        for name, one in ones.items():
            if classes and name.startswith(classes) and one.verdict not in styles:
                unshown += 1
                continue
            texts = change_text(one, task)
            verdict = one.verdict or "-"
            view.add_row(target.partition("@")[2], name, *texts, verdict, style=styles.get(one.verdict))
            (bases if one.verdict else lacking).setdefault(one.basis)
    console.print(view)
    for one in every:
        if one.target.name not in found:
            console.print(f"{one.target.name.partition('@')[2]}: not measured in both", style="yellow")
    if unshown:
        console.print(f"Not shown: {unshown} metrics of single classes without a difference. --html FILE has all.")
    if bases:
        console.print(f"Intervals: {'; '.join(bases)}.")
    if lacking:
        console.print(f"`-` in the verdict: {'; '.join(lacking)}.")
