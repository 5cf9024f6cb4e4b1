"""One part of a training, and what is told of it."""

import os
import sys
import time
from typing import Any

import click

from edge_pipeline.scheduling.stages import BEGIN, NOTHING, StagedJob, stages


def perform(metadata: Any, model: str, name: str, env: str | None, tries_left: int) -> None:
    """Do the part `name`; with the last one, or when one fails, write the report and tell people.

    Raises:
        ClickException: there is no such part, or it failed.
    """
    from edge_pipeline.cli.retraining import Workshop
    from edge_pipeline.core.errors import suggest

    shop = Workshop.open(metadata, model, env, from_scratch=False)
    known = {one.name: one for one in stages(shop.spec)}
    if name not in known:
        raise click.ClickException(f"a training of '{model}' has no part '{name}'; {suggest(name, known)}")
    with shop.journal.alone():
        _perform(shop, known[name], tries_left)


def _perform(shop: Any, stage: Any, tries_left: int) -> None:
    from edge_pipeline.cli.retrain import _begun, _finish
    from edge_pipeline.core.errors import EdgePipelineError
    from edge_pipeline.hooks.group import VARIABLE
    from edge_pipeline.pipelines.retrain.job import RefusedError

    started, outcome = int(time.time() * 1000), "released"
    problem: Exception | None = None
    job: StagedJob | None = None
    try:
        job = StagedJob.of(shop.job())
        if stage is BEGIN and _begun(shop, job, force=False, restart=False) is None:
            sys.exit(NOTHING)
        going = job.journal.read().open
        if going:
            os.environ.setdefault(VARIABLE, going.id)
        job.perform_stage(stage)
    except Exception as error:  # whatever it is, people are told before it goes on
        outcome, problem = "refused" if isinstance(error, RefusedError) else "failed", error
    over = outcome == "refused" or (stage is stages(shop.spec)[-1] if problem is None else not tries_left)
    if over:
        report = job.report(outcome, problem) if job else shop.unbegun(problem)
        _finish(shop, job, report, started)
    if problem and not isinstance(problem, EdgePipelineError):
        raise problem
    if problem:
        raise click.ClickException(str(problem))
