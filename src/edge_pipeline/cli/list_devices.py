"""`kedro edge devices [NAMES]`."""

import sys
from typing import Any

import click

COLUMNS = ("device", "kind", "state", "chip", "what it is", "memory", "free disk", "heat", "runtimes", "labels")


@click.command("list")
@click.argument("names", nargs=-1)
@click.pass_obj
def list_devices(metadata: Any, names: tuple[str, ...]) -> None:
    """List the devices of devices.yml, or those that are named, with what they are and whether they answer."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.core.errors import suggest
    from edge_pipeline.devices.inventory import state
    from edge_pipeline.pipeline_registry import load_project

    known = load_project().devices
    for name in names:
        if name not in known:
            raise click.ClickException(f"there is no device '{name}' in devices.yml; {suggest(name, known)}")
    chosen = {name: known[name] for name in names or known}
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        states: list[dict[str, Any]] = list(pool.map(state, chosen.values()))
    rows = [_row(name, spec, found) for (name, spec), found in zip(chosen.items(), states, strict=True)]
    used = [index for index in range(len(COLUMNS)) if any(row[index] for row in rows)]
    table = Table(*(COLUMNS[index] for index in used), box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(row[index] for index in used))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    problems = [(name, found["problem"]) for name, found in zip(chosen, states, strict=True) if found.get("problem")]
    for name, problem in problems:
        click.echo(f"{name}: {problem}", err=True)
    if problems:
        raise SystemExit(1)


def _row(name: str, spec: Any, found: dict[str, Any]) -> tuple[str, ...]:
    memory, disk = (f"{found[key]:,} MB" if found.get(key) else "" for key in ("memory_mb", "free_mb"))
    heat = f"{found['temperature_c']:.0f} °C" if found.get("temperature_c") is not None else ""
    packages = ", ".join(f"{package} {version}" for package, version in found.get("packages", {}).items())
    what = ", ".join(str(found[key]) for key in ("cpu", "system", "machine") if found.get(key))
    chip = spec.chip or ""
    return name, spec.kind, found["state"], chip, what, memory, disk, heat, packages, ", ".join(spec.labels)
