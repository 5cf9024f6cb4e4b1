"""`kedro edge init`."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from edge_pipeline.core.files import write_atomically

NAMES = {
    "models.yml": "models.yml",
    "devices.yml": "devices.yml",
    "mlflow.yml": "mlflow.yml",
    "catalog.yml": "catalog_edge.yml",
}
"""Files of the ready project, and their names in another project, which has a catalog.yml of its own."""

REGISTRY = """

# The pipelines of conf/base/models.yml, after those above.
from edge_pipeline.pipeline_registry import with_edge_pipelines  # noqa: E402

register_pipelines = with_edge_pipelines(register_pipelines)
"""


@click.command("init")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.pass_obj
def command(metadata: Any, force: bool) -> None:
    """Write the configuration that this project needs.

    Adds models.yml, devices.yml, mlflow.yml, catalog_edge.yml and the parameters of the models to conf/base, and the
    pipelines of models.yml to the project's pipeline_registry.py. What is there already is kept.
    """
    from kedro.framework.project import settings

    root = Path(metadata.project_path)
    base = root / settings.CONF_SOURCE / "base"
    if metadata.package_name == "edge_pipeline":
        click.echo("This is the ready project itself: its configuration is complete.")
        return
    template = files("edge_pipeline.cli") / "template"
    parameters = {f"parameters/{one.name}": f"parameters/{one.name}" for one in (template / "parameters").iterdir()}
    for source, name in {**NAMES, **dict(sorted(parameters.items()))}.items():
        path = base / name
        if path.exists() and not force:
            click.echo(f"kept     {path.relative_to(root)}")
            continue
        write_atomically(path, (template / source).read_bytes())
        click.echo(f"written  {path.relative_to(root)}")
    _extend_registry(root, Path(metadata.source_dir) / metadata.package_name / "pipeline_registry.py")
    click.echo("\nNow run:  kedro run --pipelines digits")


def _extend_registry(root: Path, path: Path) -> None:
    if not path.is_file():
        raise click.ClickException(
            f"{path} does not exist. Create it with a function register_pipelines, then run this command again."
        )
    text = path.read_text()
    if "with_edge_pipelines" in text:
        click.echo(f"kept     {path.relative_to(root)}")
        return
    write_atomically(path, (text.rstrip("\n") + REGISTRY).encode())
    click.echo(f"extended {path.relative_to(root)}")
