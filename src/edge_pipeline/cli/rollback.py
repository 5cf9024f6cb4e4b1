"""`kedro edge rollback`: the release before the champion is the champion again."""

from typing import Any

import click
from kedro.framework.cli.utils import env_option


@click.command("rollback")
@click.argument("model")
@env_option
@click.pass_obj
def command(metadata: Any, model: str, env: str | None) -> None:
    """Make the release that the champion of a model replaced its champion again.

    It passed its gates when it was promoted, so they are not asked. `kedro edge fleet rollback` then takes the boards
    back.
    """
    from edge_pipeline.cli.releasing import workplace

    with workplace(metadata, env, model) as place:
        before, now = place.registry.roll_back(model)
    click.echo(f"The champion of {model} is version {now.version} again, instead of version {before.version}.")
    click.echo(f"Boards still run what they run: `kedro edge fleet rollback {model}` takes them back too.")
