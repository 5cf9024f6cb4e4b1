"""When models are due, and how their last trainings ended."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.retrain.journal import Journal


@dataclass(frozen=True)
class Row:
    """A model of schedule.yml, as text."""

    model: str
    cron: str
    due: str
    last: str


def rows(project: Project, now: datetime) -> list[Row]:
    """Return all models of schedule.yml; `now` has a time zone."""
    found = []
    for model, spec in project.schedule.items():
        due = spec.next_due(now)
        when = f"{due.astimezone(ZoneInfo(spec.timezone)):%a %Y-%m-%d %H:%M} {spec.timezone}" if due else "never"
        found.append(Row(model, spec.cron or "", when, last(project.root, model)))
    return found


def last(root: Path, model: str) -> str:
    """Return how the last `kedro edge retrain` of a model ended."""
    try:
        state = Journal(root, model).read()
    except RetrainError as error:
        return f"unknown: {error}"
    if state.open:
        done = f" after {', '.join(state.open.done)}" if state.open.done else ""
        return f"began {state.open.started}, and is at work or stopped{done}; the next run goes on with it"
    return f"{state.last.outcome} {state.last.ended}" if state.last else "none"
