"""`kedro edge ...`: the commands are imported when they are used."""

import copy
import importlib
from typing import Any

import click

_COMMANDS = {
    "bundle": "Make and check signed bundles of released models.",
    "compare": "Show all targets of a model side by side, and where their outputs differ.",
    "deploy": "Put a release on boards, tested and undone where it fails.",
    "devices": "List the devices, what they are and whether they answer.",
    "fleet": "Show what runs on the boards, catch up, go back.",
    "gate": "Judge the targets of a model by the rules of gates.yml.",
    "hub": "Serve the devices to scripts of Qualcomm AI Hub's client; list the jobs sent to AI Hub.",
    "init": "Write the configuration that this project needs.",
    "passes": "List the graph optimizations, and which of them a target takes.",
    "promote": "Make a release of a model its champion, if its gates pass.",
    "release": "Make a signed release of what was measured, if its gates pass.",
    "releases": "List the releases of a model.",
    "retrain": "Train a model again on new samples, and release it if its gate passes.",
    "rollback": "Make the release before the champion the champion again.",
    "schedule": "Train models again at the times of schedule.yml: cron, systemd, Airflow.",
    "track": "Show runs that MLflow did not take, or log them again.",
    "ui": "Open the MLflow page of this project on loopback.",
}


class _Lazy(click.Group):
    """A group whose commands live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"edge_pipeline.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group()
def commands() -> None:
    """Commands that the plugin adds to a Kedro project."""


@commands.command(cls=_Lazy)
def edge(**_: Any) -> None:
    """Take models to measured, tracked artifacts on edge devices."""


def _run() -> click.Command:
    """Return Kedro's `run`, with this package's runner where `--runner` is not given."""
    from kedro.framework.cli.project import run

    found = copy.copy(run)
    found.params = [copy.copy(one) for one in run.params]
    for option in found.params:
        if option.name == "runner":
            option.default = "edge_pipeline.runner.DeviceRunner"
    return found


cli = click.Group(commands={"edge": edge, "run": _run()})
"""Commands of the ready project."""
