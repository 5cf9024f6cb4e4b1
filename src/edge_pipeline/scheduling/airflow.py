"""What our template of an Airflow DAG is filled with."""

import ast
import re
import shlex
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import ScheduleError
from edge_pipeline.scheduling.job import Job
from edge_pipeline.scheduling.stages import NOTHING, stages

_DAG_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_PROJECT = re.compile(r"^PROJECT = (.*)$", re.MULTILINE)

TRIES_LEFT = "--tries-left {{ [ti.max_tries - ti.try_number + 1, 0] | max }}"
"""For Airflow's templates: people are told of a failure when no other try follows."""


@dataclass(frozen=True)
class Group:
    """A part of a training as a task of Airflow.

    Attributes:
        name: of the task.
        command: for `sh`.
        doc: what Airflow's page says of it.
        again: whether another try may end otherwise.
    """

    name: str
    command: str
    doc: str
    again: bool


def groups(job: Job) -> tuple[Group, ...]:
    """Return the tasks of a job in the order in which they follow each other."""
    env = ["--env", job.env] if job.env else []
    return tuple(
        Group(
            one.name,
            f"{shlex.join([str(job.kedro), 'edge', 'schedule', 'stage', job.model, one.name, *env])} {TRIES_LEFT}",
            one.doc,
            one.again,
        )
        for one in stages(job.spec)
    )


def values(job: Job, dag_id: str | None = None) -> dict[str, Any]:
    """Return what the template is filled with.

    Raises:
        ScheduleError: Airflow does not take the name `dag_id`.
    """
    dag_id = dag_id or job.name
    if not _DAG_ID.fullmatch(dag_id):
        raise ScheduleError(f"'{dag_id}' is no name for a DAG: letters, digits, `.`, `_` and `-` only, 200 at most")
    return {
        "dag_id": dag_id,
        "model": job.model,
        "description": f"Trains {job.model} of {job.root} again",
        "cron": job.cron,
        "timezone": job.spec.timezone,
        "retries": job.spec.retries,
        "retry_delay_minutes": job.spec.retry_delay_minutes,
        "project_path": str(job.root),
        "before": f"unset PYTHONPATH PYTHONHOME VIRTUAL_ENV; {job.variables_set}",
        "nothing": NOTHING,
        "groups": [asdict(group) for group in groups(job)],
    }


def template() -> Traversable:
    """Return the file of the template."""
    return files("edge_pipeline.scheduling") / "dag.py.j2"


def check(path: Path, code: str, job: Job) -> None:
    """Refuse to write a DAG that is no Python, or over the one of another project.

    Raises:
        ScheduleError: says which of both.
    """
    try:
        compile(code, str(path), "exec")
    except SyntaxError as error:
        raise ScheduleError(f"conf/base/airflow.yml has a value that makes no valid DAG: {error}") from error
    if not path.exists():
        return
    owner = _owner(path.read_text(errors="replace"))
    if owner != str(job.root):
        whose = f"belongs to the project {owner}" if owner else "was not made by this command"
        raise ScheduleError(f"{path} is there already and {whose}; nothing was changed. Choose a name with --dag-id.")


def _owner(code: str) -> str | None:
    found = _PROJECT.search(code)
    try:
        value = ast.literal_eval(found[1]) if found else None
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, str) else None
