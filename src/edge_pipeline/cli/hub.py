"""`kedro edge hub`: serve devices, and look after jobs at AI Hub."""

from pathlib import Path
from typing import Any

import click

from edge_pipeline.cli.hub_jobs import jobs


@click.group("hub", commands={"jobs": jobs})
def command() -> None:
    """Serve the devices of devices.yml to scripts of Qualcomm AI Hub's client, or list the jobs sent to AI Hub."""


@command.command()
@click.option("--port", default=8742, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; the default is loopback.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where models, datasets, jobs and the token are kept.  [default: data/hub]",
)
@click.pass_obj
def serve(metadata: Any, port: int, host: str, folder: Path | None) -> None:
    """Speak the protocol of Qualcomm AI Hub, so that the `qai_hub` client runs models on your own devices."""
    import logging

    from edge_pipeline.pipeline_registry import load_project

    try:
        from edge_pipeline.hub.serve import Hub, client_ini
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the hub needs the package {error.name}; install it with `pip install 'edge-pipeline[hub]'`"
        ) from error

    devices = load_project().devices
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    hub = Hub(folder or Path(metadata.project_path) / "data" / "hub", devices, host=host, port=port)
    click.echo(f"Hub: {hub.address}   (Ctrl-C ends it)\nDevices: {', '.join(devices)}\n")
    click.echo("Write this into a file, and name it in the environment variable QAIHUB_CLIENT_INI of your scripts:\n")
    click.echo(client_ini(hub.address, hub.token))
    if host not in ("127.0.0.1", "::1", "localhost"):
        click.echo("The token and all data travel unencrypted: listen only in a network that you trust.\n", err=True)
    hub.run()
    click.echo("The hub has ended.")
