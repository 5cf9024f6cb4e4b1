"""`kedro edge devices`: list them, add one, test one."""

from typing import Any

import click

from edge_pipeline.cli.add_device import add
from edge_pipeline.cli.check_device import check
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
@click.pass_context
def command(ctx: click.Context, /, **_: Any) -> None:
    """List the devices of devices.yml, or those that are named: what they are and whether they answer.

    \b
    kedro edge devices                      all of them
    kedro edge devices rb3                  one of them
    kedro edge devices add ssh://edge@rb3   look at a board, and add it to devices.yml
    kedro edge devices check rb3            run small models on it
    """  # noqa: D301 - click's mark of lines that stay
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_devices, names=())
