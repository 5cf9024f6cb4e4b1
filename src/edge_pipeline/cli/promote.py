"""`kedro edge promote`: the challenger becomes the champion."""

from typing import Any

import click
from kedro.framework.cli.utils import env_option


@click.command("promote")
@click.argument("model")
@click.argument("version", required=False)
@env_option
@click.pass_obj
def command(metadata: Any, model: str, version: str | None, env: str | None) -> None:
    """Make the challenger of a model, or the release VERSION, its champion, if its gates pass.

    They judge the figures that were released, against those of the champion of now.
    """
    from edge_pipeline.cli.releasing import chosen, promoted, workplace

    with workplace(metadata, env, model) as place:
        promoted(place, chosen(place, version or "challenger"))
