"""`kedro edge deploy`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_pipeline.fleet.fleet import Fleet
    from edge_pipeline.fleet.records import Entry


@click.command("deploy")
@click.argument("model")
@click.option(
    "--bundle",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed release.  [default: that of the champion in the model registry]",
)
@click.option("--to", "labels", multiple=True, help="Boards with this label; can be given several times.")
@click.option("--device", "names", multiple=True, help="This board; can be given several times.  [default: all boards]")
@click.option("--canary", default=1, show_default=True, type=click.IntRange(min=0), help="Boards that go first.")
@click.option("--waves", default="100%", show_default=True, help="Shares of the boards, such as 10%,50%,100%.")
@click.option(
    "--max-failures",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Boards that may fail before no other wave is begun.",
)
@click.option("--downgrade", is_flag=True, help="Deploy a release that is older than what is there.")
@click.pass_obj
def command(
    metadata: Any,
    model: str,
    file: Path | None,
    labels: tuple[str, ...],
    names: tuple[str, ...],
    canary: int,
    waves: str,
    max_failures: int,
    downgrade: bool,
) -> None:
    """Put a release of MODEL on boards: tested on each before and after the switch, undone where it fails.

    A board that is away is caught up by the next `kedro edge deploy` or by `kedro edge fleet sync`.
    """
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.fleet.rollout import Plan, parse_waves

    try:
        fleet = fleet_of(metadata)
        plan = Plan(canary, parse_waves(waves), max_failures)
        boards = fleet.select(names, labels)
        bundle = fleet.open(file.read_bytes() if file else _champion(model), model)
        if not names and not labels:
            boards = fleet.fitting(bundle, boards)
        if not boards:
            raise click.ClickException(f"the bundle {bundle.name} is for none of the boards; nothing was deployed")
        click.echo(f"{bundle.name} to {len(boards)} board{'s' * (len(boards) > 1)}: {', '.join(boards)}")
        entries = fleet.deploy(bundle, boards, plan, older=downgrade)
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    conclude(entries, model)


def fleet_of(metadata: Any) -> "Fleet":
    """Return the boards of the project.

    Raises:
        KeyFileError: the trusted keys cannot be read.
    """
    from edge_pipeline.cli.bundle import conf_of
    from edge_pipeline.fleet.fleet import Fleet
    from edge_pipeline.fleet.keys import trusted_keys
    from edge_pipeline.pipeline_registry import load_project

    project = load_project()
    trusted = trusted_keys(conf_of(metadata))
    return Fleet(project.root, metadata.project_name, project.devices, trusted, click.echo)


def conclude(entries: Mapping[str, "Entry"], model: str) -> None:
    """Print how many boards have the release, and fail if any failed or was not begun."""
    states = [one.state for one in entries.values()]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    click.echo(", ".join(f"{number} {state}" for state, number in counts.items()) or "nothing to do")
    if "pending" in counts:
        click.echo("Boards that were away are caught up by `kedro edge fleet sync`.")
    bad = [f"{name} ({one.state})" for name, one in entries.items() if one.state in ("failed", "stopped")]
    if bad:
        raise click.ClickException(
            f"not everywhere: {', '.join(bad)}. Those that failed use what they used before; `kedro edge fleet` shows "
            f"what runs where, `kedro edge fleet rollback {model}` goes back on the others"
        )


def _champion(model: str) -> bytes:
    from edge_pipeline.hooks.registry import Registry
    from edge_pipeline.pipeline_registry import load_project

    project = load_project()
    registry = Registry(project.tracking, project.root)
    release = registry.find(model, "champion")
    if release is None:
        raise click.ClickException(
            f"'{model}' has no champion in the model registry; release one, or name a file with --bundle"
        )
    return registry.bundle(release)
