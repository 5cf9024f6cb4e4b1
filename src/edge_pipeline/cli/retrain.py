"""`kedro edge retrain`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.utils import env_option

if TYPE_CHECKING:
    from edge_pipeline.pipelines.retrain.job import Job
    from edge_pipeline.pipelines.retrain.journal import OpenRun
    from edge_pipeline.pipelines.retrain.report import Report


@click.command("retrain")
@click.argument("model")
@env_option
@click.option("--force", is_flag=True, help="Train even if no trigger fires.")
@click.option("--dry-run", is_flag=True, help="Only print the triggers and the steps.")
@click.option("--restart", is_flag=True, help="Forget a training that is not over, and begin a new one.")
@click.option("--from-scratch", is_flag=True, help="Begin from what the parameters say, not from the champion.")
@click.pass_obj
def command(
    metadata: Any, model: str, env: str | None, force: bool, dry_run: bool, restart: bool, from_scratch: bool
) -> None:
    """Train a model again on new samples, and release it if its gate passes.

    Looks at the triggers of schedule.yml; if one fires, takes new samples in, fine-tunes from the champion, runs the
    model's pipeline, its gate, the release, the promotion, and the deployment if the schedule says so. A training that
    was killed or failed goes on where it stopped. Exits with status 0 if there was nothing to do or all is done.
    """
    from edge_pipeline.cli.retraining import Workshop

    shop = Workshop.open(metadata, model, env, from_scratch)
    if dry_run:
        _explain(shop, force, restart)
        return
    with shop.journal.alone():
        _retrain(shop, force, restart)


def _explain(shop: Any, force: bool, restart: bool) -> None:
    """Print what would be done."""
    going = shop.journal.read().open
    if going and not restart:
        click.echo(
            f"The training {going.id} of {going.started} is not over; done: {', '.join(going.done) or 'nothing'}."
        )
    else:
        fires = _print_triggers(shop, force)
        if not fires:
            return
    click.echo("Would do: take new samples in")
    for step in shop.steps():
        if not (going and not restart and step.name in going.done):
            click.echo(f"  {step}")


def _print_triggers(shop: Any, force: bool) -> bool:
    for trigger in shop.triggers:
        click.echo(str(trigger))
    fires = any(one.fires for one in shop.triggers)
    if force and not fires:
        click.echo("No trigger fires; --force trains anyway.")
    if not (force or fires):
        click.echo("Nothing to do.")
    return fires or force


def _retrain(shop: Any, force: bool, restart: bool) -> None:
    """Do what is to be done, and tell everybody; raises a `ClickException` if it failed."""
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.pipelines.retrain.job import RefusedError

    started, outcome = int(time.time() * 1000), "released"
    problem: Exception | None = None
    job: Job | None = None
    try:
        job = shop.job()
        run = _begun(shop, job, force, restart)
        if run is None:
            return
        job.perform()
    except Exception as error:  # whatever it is, people are told before it goes on
        outcome, problem = "refused" if isinstance(error, RefusedError) else "failed", error
    report = job.report(outcome, problem) if job else shop.unbegun(problem)
    _finish(shop, job, report, started)
    if problem and not isinstance(problem, EdgePipelineError):
        raise problem
    if problem:
        raise click.ClickException(f"{problem}\n{report.line}. Next: {report.next}.")


def _begun(shop: Any, job: "Job", force: bool, restart: bool) -> "OpenRun | None":
    """Return the training to go on with, or a new one; `None` if there is nothing to do."""
    going = job.journal.read().open
    if going and restart:
        click.echo(f"The training {going.id} is forgotten.")
        job.forget()
        going = None
    if going:
        click.echo(f"Going on with the training {going.id} of {going.started}.")
        return going
    if not _print_triggers(shop, force):
        return None
    reasons = [str(one) for one in shop.triggers if one.fires] or ["--force"]
    numbers = {key: value for one in shop.triggers for key, value in one.numbers.items()}
    run = job.begin(reasons, numbers, shop.champion.version if shop.champion else None)
    click.echo(f"Training {run.id} begins.")
    return run


def _finish(shop: Any, job: "Job | None", report: "Report", started: int) -> None:
    """Write the report, log it, tell people, and close the training if it is over."""
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.pipelines.retrain.notify import notify

    def attempt(what: str, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except EdgePipelineError as error:
            click.echo(f"{what}: {error}", err=True)
            return None

    folder: Path = shop.project.root / "data" / "08_reporting" / shop.model / "retrain"
    path = attempt("report", lambda: report.write(folder))
    if path:
        click.echo(f"Report: {path}")
    attempt("MLflow", lambda: shop.record(report, started))
    for line in notify(shop.spec.notify, report.message(), report.failed):
        click.echo(line)
    going = job.journal.read().open if job else None
    if job and going and report.outcome in ("released", "refused"):
        job.close(going, report.outcome)  # type: ignore[arg-type]
    click.echo(f"{report.line}.")
