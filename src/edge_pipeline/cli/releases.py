"""`kedro edge releases`: what was released."""

import os
import sys
from datetime import UTC, datetime
from typing import Any

import click
from kedro.framework.cli.utils import env_option


@click.command("releases")
@click.argument("model")
@env_option
@click.pass_obj
def command(metadata: Any, model: str, env: str | None) -> None:
    """List the releases of a model, the newest first."""
    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.cli.releasing import workplace
    from edge_pipeline.hooks.registry import CHAMPION

    with workplace(metadata, env, model, alone=False) as place:
        found = place.registry.releases(model)
    if not found:
        click.echo(f"Nothing of {model} was released yet; `kedro edge release {model}` does that.")
        return
    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("version", "alias", "released", "gates", "targets", "MLflow run"):
        view.add_column(title, overflow="fold")
    for one in found:
        made = datetime.fromtimestamp(one.created / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        alias = ", ".join(
            [*one.aliases, *(["rolled back"] if "rolled_back" in one.tags and CHAMPION not in one.aliases else [])]
        )
        row = (str(one.version), alias, made, one.tags.get("gates", ""), one.tags.get("targets", ""), one.run_id)
        view.add_row(*row)
    known_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    Console(width=None if known_width else 200, highlight=False, markup=False).print(view)
