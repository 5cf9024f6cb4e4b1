"""`kedro edge devices`: list them, add one, test one."""

from typing import Any

import click

from edge_pipeline.cli.add_device import add
from edge_pipeline.cli.check_device import check
from edge_pipeline.cli.hub_devices import list_hub_devices
from edge_pipeline.cli.list_devices import list_devices


class _Listing(click.Group):
    """A group that takes names of devices too, and then lists them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named first, or the listing of what is named."""
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "list", list_devices, args


@click.group("devices", cls=_Listing, invoke_without_command=True, commands={"add": add, "check": check})
@click.option("--hub", is_flag=True, help="List the devices of your account at AI Hub instead.")
@click.pass_context
def command(ctx: click.Context, /, hub: bool, **_: Any) -> None:
    """List the devices of devices.yml, or those that are named: what they are and whether they answer.

    \b
    kedro edge devices                      all of them
    kedro edge devices rb3                  one of them
    kedro edge devices add ssh://edge@rb3   look at a board, and add it to devices.yml
    kedro edge devices check rb3            run small models on it
    kedro edge devices --hub                all that your account at AI Hub has
    """  # noqa: D301 - click's mark of lines that stay
    if hub and ctx.invoked_subcommand:
        raise click.UsageError("--hub lists all devices of AI Hub: leave out what comes after it")
    if hub:
        list_hub_devices()
    elif ctx.invoked_subcommand is None:
        ctx.invoke(list_devices, names=())
