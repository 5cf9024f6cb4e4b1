"""`kedro edge schedule`: trainings at the times of schedule.yml."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option

if TYPE_CHECKING:
    from edge_pipeline.pipelines.config import Project
    from edge_pipeline.scheduling.job import Job


@click.group("schedule")
def command(**_: Any) -> None:
    """Train models again at the times of schedule.yml: by cron, systemd or Airflow.

    \b
    kedro edge schedule list                      when models are due, and how it went last
    kedro edge schedule cron MODEL                a line for the crontab
    kedro edge schedule systemd MODEL             a service and a timer
    kedro edge schedule airflow MODEL -o dags/    a DAG with one task a group of stages
    """  # noqa: D301 - click's mark of lines that stay


@command.command("cron")
@click.argument("model")
@env_option
@click.option("--install", is_flag=True, help="Put it into your crontab, in place of an earlier one of this model.")
@click.pass_obj
def cron(metadata: Any, model: str, env: str | None, install: bool) -> None:
    """Print the line for the crontab that trains MODEL again when it is due."""
    from edge_pipeline.scheduling import crontab

    job = _job(metadata, model, env)
    if not install:
        click.echo(crontab.text(job), nl=False)
        return
    crontab.install(job)
    click.echo(f"Your crontab has '{model}' now: {job.cron} {job.spec.timezone}. It prints into {job.log}")


@command.command("systemd")
@click.argument("model")
@env_option
@click.option("--install", is_flag=True, help="Write the units into ~/.config/systemd/user; starts nothing.")
@click.option(
    "--output", "-o", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write them into this folder."
)
@click.pass_obj
def systemd(metadata: Any, model: str, env: str | None, install: bool, folder: Path | None) -> None:
    """Print the service and the timer that train MODEL again when it is due; what was missed is caught up."""
    from edge_pipeline.core.files import write_atomically
    from edge_pipeline.scheduling.systemd import units

    if install and folder:
        raise click.UsageError("--install writes into ~/.config/systemd/user, --output elsewhere: leave one out")
    job = _job(metadata, model, env)
    found = units(job)
    if install:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    for name, content in ((found.service_name, found.service), (found.timer_name, found.timer)):
        if folder:
            write_atomically(folder / name, content.encode())
            click.echo(f"written  {folder / name}")
        else:
            click.echo(f"# {name}\n{content}")
    if install:
        click.echo(f"\nNow run:  systemctl --user daemon-reload && systemctl --user enable --now {found.timer_name}")
        click.echo("It runs while you are not logged in after:  loginctl enable-linger")


@command.command("airflow")
@click.argument("model")
@env_option
@click.option(
    "--output",
    "-o",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dags"),
    show_default=True,
    help="Airflow's folder of DAGs.",
)
@click.option("--dag-id", help="Name of the DAG. [default: that of the project's folder, and the model]")
@click.pass_obj
def airflow(metadata: Any, model: str, env: str | None, folder: Path, dag_id: str | None) -> None:
    """Write the DAG that trains MODEL again when it is due, for Airflow 3.

    Airflow may live in another environment: tasks run the `kedro` of this one. Values of conf/base/airflow.yml are
    taken by kedro-airflow: owner, pool, start_date.
    """
    from edge_pipeline.core.files import write_atomically
    from edge_pipeline.scheduling.airflow import check, values

    job = _job(metadata, model, env)
    filled = values(job, dag_id)
    path = folder / f"{filled['dag_id']}.py"
    code = _dag(metadata, job, filled)
    check(path, code, job)
    write_atomically(path, code.encode())
    click.echo(f"written  {path}: the DAG {filled['dag_id']}, {job.cron} {job.spec.timezone}")


@command.command("stage")
@click.argument("model")
@click.argument("stage")
@env_option
@click.option("--tries-left", type=click.IntRange(min=0), default=0, help="Tell nobody of a failure before the last.")
@click.pass_obj
def stage(metadata: Any, model: str, stage: str, env: str | None, tries_left: int) -> None:
    """Do one part of a training of MODEL: what the tasks of Airflow run.

    The parts are begin, train, quantize, measure, gate, release, and deploy if the schedule says so. Together they are
    `kedro edge retrain`, which goes on with a training that stopped between them. The status is 99 if there is nothing
    to do.
    """
    from edge_pipeline.cli.schedule_stage import perform

    perform(metadata, model, stage, env, tries_left)


@command.command("list")
@env_option
@click.pass_obj
def list_schedules(metadata: Any, env: str | None) -> None:
    """List the models of schedule.yml: when they are due next, and how their last training ended."""
    from rich.console import Console
    from rich.table import Table

    from edge_pipeline.scheduling.listing import rows

    found = rows(_project(metadata, env), datetime.now(UTC))
    if not found:
        click.echo("schedule.yml has no entries: nothing is due. See its comments in conf/base.")
        return
    table = Table("model", "cron", "next due", "last run", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in found:
        table.add_row(row.model, row.cron, row.due, row.last)
    Console(width=None if sys.stdout.isatty() else 200, markup=False).print(table)


def _project(metadata: Any, env: str | None) -> "Project":
    from kedro.framework.session import KedroSession

    from edge_pipeline.pipeline_registry import load_project

    session: Any = KedroSession.create(metadata.project_path, save_on_close=False, env=env)
    session.load_context()
    return load_project()


def _job(metadata: Any, model: str, env: str | None) -> "Job":
    from kedro.framework.project import settings

    from edge_pipeline.scheduling.job import job, unset

    root = Path(metadata.project_path).resolve()
    found = job(_project(metadata, env), model, root / settings.CONF_SOURCE, env)
    for name in unset(found.variables, os.environ):
        click.echo(f"Note: {name} is set here, but a scheduled run sees only what {found.variables} sets.", err=True)
    return found


def _dag(metadata: Any, job: "Job", filled: dict[str, Any]) -> str:
    """Return the code of the DAG: our template, filled in by kedro-airflow."""
    import contextlib
    import io
    import tempfile
    from importlib.resources import as_file

    from edge_pipeline.scheduling.airflow import template

    try:
        from kedro_airflow.plugin import create
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] not in ("kedro_airflow", "slugify"):
            raise
        raise click.ClickException("kedro-airflow is missing: pip install 'edge-pipeline[airflow]'") from None
    fill: Any = create.callback
    with tempfile.TemporaryDirectory() as folder, as_file(template()) as file:
        with contextlib.redirect_stdout(io.StringIO()):
            fill.__wrapped__(
                metadata,
                pipeline_names=[job.model],
                env=job.env or "local",
                target_path=folder,
                jinja_file=file,
                node_grouping=None,
                tags=(),
                params=filled,
                conf_source=None,
                convert_all=False,
            )
        (made,) = Path(folder).iterdir()
        return made.read_text()
