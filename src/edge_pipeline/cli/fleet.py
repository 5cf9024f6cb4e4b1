"""`kedro edge fleet`: what runs where, catch up, go back."""

from typing import TYPE_CHECKING, Any

import click

from edge_pipeline.cli.deploy import conclude, fleet_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_pipeline.fleet.fleet import Row


@click.group("fleet", invoke_without_command=True)
@click.option("--to", "labels", multiple=True, help="Boards with this label alone.")
@click.option("--device", "names", multiple=True, help="This board alone.")
@click.option("--test", is_flag=True, help="Let every board run its golden tests now.")
@click.pass_context
def command(ctx: click.Context, /, labels: tuple[str, ...], names: tuple[str, ...], test: bool) -> None:
    """Ask the boards what they run: version, target, since when, how healthy, what is still to come."""
    if ctx.invoked_subcommand:
        if labels or names or test:
            raise click.UsageError(f"put the options behind {ctx.invoked_subcommand}")
        return
    from edge_pipeline.core.errors import EdgePipelineError

    try:
        fleet = fleet_of(ctx.obj)
        rows = fleet.status(fleet.select(names, labels), test=test)
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    _print(rows)
    if any("damaged" in note or "failed" in note for row in rows for note in row.notes):
        raise click.ClickException("there are boards with a damaged or failed release; see above")


@command.command()
@click.argument("models", nargs=-1)
@click.pass_obj
def sync(metadata: Any, models: tuple[str, ...]) -> None:
    """Finish deployments that were interrupted, and catch up boards that were away; of all models without any named."""
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.fleet.records import Records
    from edge_pipeline.pipeline_registry import load_project

    known = Records(load_project().root).models()
    if unknown := [one for one in models if one not in known]:
        raise click.ClickException(f"nothing of '{unknown[0]}' was deployed from this project")
    for model in models or known:
        try:
            entries = fleet_of(metadata).sync(model)
        except EdgePipelineError as error:
            raise click.ClickException(f"{model}: {error}") from error
        click.echo(f"{model}: ", nl=False)
        conclude(entries, model)


@command.command()
@click.argument("model")
@click.option("--to", "labels", multiple=True, help="Boards with this label; can be given several times.")
@click.option("--device", "names", multiple=True, help="This board; can be given several times.  [default: all boards]")
@click.pass_obj
def rollback(metadata: Any, model: str, labels: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Let boards use the release of MODEL before the one in use."""
    from edge_pipeline.core.errors import EdgePipelineError

    try:
        fleet = fleet_of(metadata)
        found = fleet.back(model, fleet.select(names, labels))
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    left = [name for name, one in found.items() if one.state != "rolled back"]
    if left:
        raise click.ClickException(f"not rolled back: {', '.join(left)}; the reasons are above")


def _print(rows: "Sequence[Row]") -> None:
    import os
    import sys

    from rich.console import Console
    from rich.table import Table

    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if wide else 200, markup=False, highlight=False)
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("board", "model", "version", "target", "since", "health"):
        view.add_column(title, overflow="fold")
    for row in rows:
        values = (row.board, row.model, row.version, row.target, row.since, row.health)
        view.add_row(*("-" if one is None else str(one) for one in values))
    console.print(view)
    for row in rows:
        for note in row.notes:
            console.print(f"{row.board}{f', {row.model}' if row.model else ''}: {note}")
