"""`kedro edge devices check`."""

from typing import Any

import click


@click.command("check")
@click.argument("name")
@click.pass_obj
def check(metadata: Any, name: str) -> None:
    """Run a small model with every runtime of the device NAME, and compare with this machine.

    Tells what the device can measure. The exit status is 1 if something does not work.
    """
    from edge_pipeline.core.errors import suggest
    from edge_pipeline.pipeline_registry import load_project
    from edge_pipeline.selftest import selftest

    known = load_project().devices
    if name not in known:
        raise click.ClickException(f"there is no device '{name}' in devices.yml; {suggest(name, known)}")
    failed = 0
    for step in selftest(name, known[name]):
        failed += step.ok is False
        mark = {True: "ok    ", False: "FAILED", None: "-     "}[step.ok]
        click.echo(f"{mark}  {step.name}: {step.told}")
    if failed:
        raise click.ClickException(f"{name}: {failed} of the checks failed")
