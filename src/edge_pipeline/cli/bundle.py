"""`kedro edge bundle`: make keys, make a signed release of what was validated, look at one."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.utils import env_option


@click.group("bundle")
def command() -> None:
    """Make and check signed bundles: a model for each kind of board, with its test, in one file."""


@command.command()
@click.option("--name", default="own", show_default=True, help="Name of the public key's file.")
@click.pass_obj
def keygen(metadata: Any, name: str) -> None:
    """Make the key pair that signs this project's bundles.

    The private key stays in conf/local, for you alone. Give the public one to those who deploy your bundles: they put
    it into conf/base/trusted_keys or conf/local/trusted_keys.
    """
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.fleet.keys import PRIVATE, TRUSTED, generate

    if not name.isidentifier():
        raise click.ClickException(f"'{name}' cannot be the name of a key: letters, digits and _ only")
    conf = conf_of(metadata)
    try:
        made = generate(conf, name)
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"private key: {conf / PRIVATE}, for you alone; keep a copy in a safe place")
    click.echo(f"public key {made.id}: {conf / 'local' / TRUSTED / f'{name}.pub'}")


@command.command()
@click.argument("model")
@click.option("--version", type=click.IntRange(min=1), required=True, help="Larger than that of every release before.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--target", "wanted", multiple=True, help="DEVICE/RUNTIME/PRECISION; by default all that were validated.")
@env_option
@click.pass_obj
def create(metadata: Any, model: str, version: int, output: Path, wanted: tuple[str, ...], env: str | None) -> None:
    """Write a signed bundle of what `kedro run` left on disk of MODEL."""
    from datetime import UTC, datetime

    from kedro.framework.session import KedroSession

    from edge_pipeline.core.errors import EdgePipelineError, suggest
    from edge_pipeline.core.files import write_atomically
    from edge_pipeline.fleet.bundle import pack
    from edge_pipeline.fleet.keys import private_key
    from edge_pipeline.pipeline_registry import load_project
    from edge_pipeline.pipelines.release.gather import gather

    session: Any = KedroSession.create(metadata.project_path, save_on_close=False, env=env)
    catalog = session.load_context().catalog
    project = load_project()
    if model not in project.models:
        raise click.ClickException(f"there is no model '{model}' in models.yml; {suggest(model, project.models)}")
    targets = {one.name.partition("@")[2]: one for one in project.targets(model)}
    if unknown := [one for one in wanted if one not in targets]:
        raise click.ClickException(f"'{model}' has no target '{unknown[0]}'; {suggest(unknown[0], targets)}")
    try:
        key = private_key(conf_of(metadata))
        content = gather(
            catalog,
            project,
            model,
            [one for name, one in targets.items() if name in wanted or not wanted],
            name=metadata.project_name,
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            card=f"# {model}, version {version}\n",
        )
        data = pack(content, key)
        write_atomically(output, data)
    except EdgePipelineError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {model} {version}, {len(data) / 1e6:.2f} MB, signed by {key.public.id}")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def verify(metadata: Any, file: Path) -> None:
    """Check a bundle's signature and every file, and print what is in it."""
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.fleet.bundle import read_bundle
    from edge_pipeline.fleet.keys import trusted_keys

    try:
        bundle = read_bundle(file.read_bytes(), trusted_keys(conf_of(metadata)))
    except EdgePipelineError as error:
        raise click.ClickException(f"{file}: {error}") from error
    told = bundle.manifest
    click.echo(
        f"{told.model} {told.version} of '{told.project}', made {told.created}, signed by {bundle.key.id}: whole"
    )
    for slug, one in told.targets.items():
        size = sum(about.bytes for name, about in told.files.items() if name.startswith(f"targets/{slug}/artifact/"))
        accuracy = f", accuracy {one.metrics['accuracy']:.2%}" if "accuracy" in one.metrics else ""
        click.echo(f"  {one.target}: for {one.fits.chip or 'any chip'}, {size / 1e6:.2f} MB{accuracy}")
        click.echo(f"    golden test at {one.tolerance_db:g} dB; artifact {one.artifact[:16]}")
    if told.project != metadata.project_name:
        click.echo(f"It is of another project: this one, '{metadata.project_name}', does not deploy it.", err=True)


def conf_of(metadata: Any) -> Path:
    """Return the project's conf folder."""
    from kedro.framework.project import settings

    return Path(metadata.project_path) / str(settings.CONF_SOURCE)
