"""`kedro edge devices --hub`."""

import sys

import click

COLUMNS = ("device", "os", "chipset", "hexagon", "frameworks")


def list_hub_devices() -> None:
    """Print the devices of the account at AI Hub."""
    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.core.errors import DeviceError
    from edge_pipeline.devices.aihub.client import open_client
    from edge_pipeline.devices.aihub.hub import offered

    try:
        client = open_client()
        devices = offered(client)
    except DeviceError as error:
        raise click.ClickException(str(error)) from error
    table = Table(*COLUMNS, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for device in devices:
        told: dict[str, list[str]] = {}
        for one in device.attributes:
            key, _, value = one.partition(":")
            told.setdefault(key, []).append(value)
        system = " ".join(filter(None, (*told.get("os", ()), device.os)))
        named = (told.get(key, ()) for key in ("chipset", "hexagon", "framework"))
        table.add_row(device.name, system, *(", ".join(one) for one in named))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    click.echo(f"{len(devices)} devices at {client.address}")
