"""`kedro edge devices add`."""

import re
from pathlib import Path
from typing import Any

import click


@click.command("add")
@click.argument("address")
@click.option("--name", help="Name of the device; by default that of the host, or the serial.")
@click.option("--chip", help="What it runs on, if the board does not tell.")
@click.option("--python", help="Command of the board's Python that has NumPy and the runtimes.")
@click.option("--key", "keys", multiple=True, help="Private key; by default those of the SSH agent and home folder.")
@click.option("--known-hosts", help="File of trusted host keys; by default ~/.ssh/known_hosts.")
@click.option("--label", "labels", multiple=True, help="A word of your own, for choosing devices.")
@click.option("--env", default="base", show_default=True, help="Folder of conf whose devices.yml is written.")
@click.pass_obj
def add(metadata: Any, /, address: str, name: str | None, env: str, **given: Any) -> None:
    """Look at the board at ADDRESS, and write its entry to devices.yml.

    ADDRESS is ssh://user@host[:port] or adb://serial. Nothing is written if the board does not answer.
    """
    from kedro.framework.project import settings

    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.devices.adding import append, entry_of, probe
    from edge_pipeline.pipeline_registry import load_project

    kind, separator, place = address.partition("://")
    if not separator or kind not in ("ssh", "adb"):
        raise click.ClickException(f"'{address}' is no address: ssh://user@host, ssh://user@host:port or adb://serial")
    name = name or re.sub(r"\W+", "_", place.rpartition("@")[2].partition(":")[0])
    known = load_project().devices
    path = Path(metadata.project_path) / settings.CONF_SOURCE / env / "devices.yml"
    if name in known:
        raise click.ClickException(f"there is a device '{name}' already; give this one another name with --name")
    wanted = {"kind": kind, "address": place, **{key: value for key, value in given.items() if value}}
    try:
        found, python = probe(wanted)
        entry, remarks = entry_of({**wanted, "python": python}, found)
        append(path, name, entry)
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    packages = ", ".join(f"{package} {version}" for package, version in found["packages"].items()) or "no packages"
    click.echo(f"{name}: {found['cpu']}, {found['system']} {found['machine']}, Python {found['python']}, {packages}")
    for remark in remarks:
        click.echo(f"  {remark}")
    click.echo(f"written to {path.relative_to(metadata.project_path)}; `kedro edge devices check {name}` tests it")
