"""`kedro edge hub jobs`."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from edge_pipeline.devices.aihub.client import Client
    from edge_pipeline.devices.aihub.listing import Seen, Submitted

COLUMNS = ("target", "kind", "device", "state", "seconds", "job", "name")
EVERY_S = 5.0


@click.command("jobs")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="The newest so many.")
@click.option("--watch", is_flag=True, help="Stay, and show new states, until all of them have ended.")
def jobs(limit: int, watch: bool) -> None:
    """List the jobs that this machine submitted to AI Hub, and where they are."""
    from edge_pipeline.core.errors import DeviceError
    from edge_pipeline.devices.aihub.client import open_client
    from edge_pipeline.devices.aihub.ledger import DEFAULT_FOLDER, Ledger
    from edge_pipeline.devices.aihub.listing import submitted
    from edge_pipeline.pipeline_registry import load_project

    try:
        client = open_client()
    except DeviceError as error:
        raise click.ClickException(str(error)) from error
    mine = [device.folder for device in load_project().devices.values() if device.kind == "aihub" and device.folder]
    folders = dict.fromkeys([DEFAULT_FOLDER, *mine])

    def newest() -> "list[Submitted]":
        return submitted(Ledger(Path(one), client.address) for one in folders)

    every = newest()
    if not every:
        click.echo(f"No jobs were submitted to {client.address} from here.")
        return
    try:
        found = _watched(client, lambda: newest()[:limit]) if watch else _printed(client, every[:limit])
    except DeviceError as error:
        raise click.ClickException(str(error)) from error
    still = sum(one.open for one in found)
    click.echo(f"{len(found)} of {len(every)} jobs at {client.address}, {still} of them not ended")


def _printed(client: "Client", every: "Sequence[Submitted]") -> "list[Seen]":
    from rich.console import Console

    from edge_pipeline.devices.aihub.listing import seen

    found = [seen(client, one) for one in every]
    Console(width=None if sys.stdout.isatty() else 200).print(_table(found))
    return found


def _watched(client: "Client", newest: "Callable[[], list[Submitted]]") -> "list[Seen]":
    """Show the table until no job is open, or Ctrl-C; where there is no terminal, a line for each new state.

    What is submitted meanwhile is shown too.
    """
    from rich.console import Console
    from rich.live import Live

    from edge_pipeline.devices.aihub.listing import seen

    console = Console()
    found: dict[str, Seen] = {}
    shown: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        live = stack.enter_context(Live(console=console)) if console.is_terminal else None
        while True:
            ended = {name: one for name, one in found.items() if not one.open}
            found = {job.name: ended.get(job.name) or seen(client, job) for job in newest()}
            if live:
                live.update(_table(list(found.values())), refresh=True)
            for name, one in found.items():
                if not live and shown.get(name) != one.state:
                    click.echo("  ".join(_cells(one)))
                shown[name] = one.state
            if not any(one.open for one in found.values()):
                break
            time.sleep(EVERY_S)
    return list(found.values())


def _table(found: "Sequence[Seen]") -> "Table":
    from rich.table import Table

    table = Table(*COLUMNS, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for one in found:
        table.add_row(*_cells(one))
    return table


def _cells(one: "Seen") -> list[str]:
    seconds = "-" if one.seconds is None else f"{one.seconds:.1f}"
    job = one.job
    return [job.target or "-", job.kind, one.device or "-", one.state, seconds, job.id or "-", job.name]
