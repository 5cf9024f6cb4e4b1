"""`kedro edge track`."""

from pathlib import Path
from typing import Any

import click


@click.command("track")
@click.option("--resend", is_flag=True, help="Log the waiting runs to MLflow now.")
@click.pass_obj
def command(metadata: Any, resend: bool) -> None:
    """Show runs that MLflow did not take, or log them again."""
    from edge_pipeline.hooks import outbox

    root = Path(metadata.project_path)
    if not resend:
        names = [record.name for _, record in outbox.waiting(root)]
        for name in names:
            click.echo(name)
        click.echo(f"{len(names)} runs wait; `kedro edge track --resend` logs them." if names else "No runs wait.")
        return
    from edge_pipeline.hooks.store import Store, tracking_uri
    from edge_pipeline.pipeline_registry import load_project

    project = load_project()
    uri = tracking_uri(project.tracking, root)
    sent = 0
    stores: dict[str, Store] = {}
    for place, record in outbox.waiting(root):
        if record.experiment not in stores:
            stores[record.experiment] = Store(uri, record.experiment, root)
        stores[record.experiment].complete(record)
        outbox.remove(place)
        click.echo(f"logged {record.name}")
        sent += 1
    click.echo(f"{sent} runs logged to {uri}." if sent else "No runs wait.")
