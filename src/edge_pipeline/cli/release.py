"""`kedro edge release`: a signed release of what was measured, as the challenger."""

from typing import Any

import click
from kedro.framework.cli.utils import env_option


@click.command("release")
@click.argument("model")
@env_option
@click.option("--target", "names", multiple=True, help="Only this target, such as rb3/tflite/w8a8; may be repeated.")
@click.option("--promote", is_flag=True, help="Make it the champion too.")
@click.pass_obj
def command(metadata: Any, model: str, env: str | None, names: tuple[str, ...], promote: bool) -> None:
    """Release what `kedro run` has measured of a model, if its gates pass.

    Makes a signed bundle and a version in MLflow's model registry, with the alias `challenger`. Runs nothing; what was
    released already is not released again.
    """
    from edge_pipeline.cli.releasing import promoted, released, workplace

    with workplace(metadata, env, model) as place:
        release = released(place, names)
        if promote:
            promoted(place, release)
