"""What a scheduler runs for a model, and where."""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_pipeline.core.errors import ScheduleError, suggest
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.retrain.schedule import VARIABLE, ScheduleSpec

BUSY = 75
"""Exit status of a run that found another one at work (EX_TEMPFAIL)."""


@dataclass(frozen=True)
class Job:
    """The scheduled training of one model; all paths are absolute.

    Attributes:
        model: name in models.yml.
        spec: its entry of schedule.yml, which has `cron`.
        root: the project's folder.
        variables: file of environment variables, `NAME=value` a line, which need not exist.
        kedro: the program `kedro` of this environment.
        env: the run environment, `--env`.
    """

    model: str
    spec: ScheduleSpec
    root: Path
    variables: Path
    kedro: Path
    env: str | None = None

    @property
    def cron(self) -> str:
        """The five fields."""
        assert self.spec.cron  # see `job`
        return self.spec.cron

    @property
    def name(self) -> str:
        """Name among all jobs of this machine: `quarry_digits` for the model `digits` of the project `quarry`."""
        folder = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "_" for one in self.root.name)
        return "_".join([folder, self.model, *([self.env] if self.env else [])])

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows `kedro`."""
        return ("edge", "retrain", self.model, *(("--env", self.env) if self.env else ()))

    @property
    def shell(self) -> str:
        """The command for `sh`, which needs nothing of its environment; its status is that of the last try."""
        retrain = shlex.join([str(self.kedro), *self.arguments])
        if self.spec.retries:
            loop = (
                f'n=0; until "$0" "$@"; do s=$?; [ $n -lt {self.spec.retries} ] || exit $s; n=$((n+1)); '
                f"sleep {round(self.spec.retry_delay_minutes * 60)}; done"
            )
            retrain = f"sh -c {shlex.quote(loop)} {retrain}"
        log, folder, lock = (self._short(path) for path in (self.log, self.log.parent, self.lock))
        return (
            f"cd {shlex.quote(str(self.root))} && mkdir -p {folder} && {{ {self.variables_set}; "
            f"flock -n -E {BUSY} {lock} {retrain}; }} >>{log} 2>&1"
        )

    @property
    def variables_set(self) -> str:
        """The part of a command that sets environment variables, in the project's folder."""
        file = self._short(self.variables)
        return (
            f"PATH={shlex.quote(self.path)}; KEDRO_DISABLE_TELEMETRY=1; export PATH KEDRO_DISABLE_TELEMETRY; "
            f"set -a; [ ! -f {file} ] || . {file}; set +a"
        )

    @property
    def log(self) -> Path:
        """The file that takes what runs print."""
        return self.root / "data" / "08_reporting" / self.model / "schedule.log"

    @property
    def lock(self) -> Path:
        """The file that keeps a run from starting while another one is at work."""
        return self.root / "data" / f".schedule.{self.model}.lock"

    @property
    def path(self) -> str:
        """The folders of programs, of which a scheduler knows hardly any."""
        return f"{self.kedro.parent}:/usr/local/bin:/usr/bin:/bin"

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the environment variables that schedule.yml wants for telling who is to be told."""
        notify = self.spec.notify
        names = [notify.webhook, notify.email.password if notify.email else None]
        return tuple(name for name in names if name and VARIABLE.fullmatch(name))

    def _short(self, path: Path) -> str:
        """Return a path for `sh`, in the project relative to it."""
        return shlex.quote(str(path.relative_to(self.root) if path.is_relative_to(self.root) else path))


def job(project: Project, model: str, conf: Path, env: str | None = None) -> Job:
    """Return the job of a model.

    Args:
        project: the configuration.
        model: name in models.yml.
        conf: the project's folder of configuration.
        env: the run environment.

    Raises:
        ScheduleError: there is no such model, nothing is due for it, or a path cannot be written into a schedule.
    """
    if model not in project.models:
        raise ScheduleError(f"there is no model '{model}' in models.yml; {suggest(model, project.models)}")
    example = f'{model}:\n  cron: "0 3 * * 1"   # Mondays at 3:00\n  timezone: Europe/Berlin'
    spec = project.schedule.get(model)
    if spec is None:
        others = f" It has entries for {', '.join(sorted(project.schedule))}." if project.schedule else ""
        raise ScheduleError(
            f"schedule.yml has no entry '{model}'.{others} Add one to conf/base/schedule.yml:\n{example}"
        )
    if spec.cron is None:
        raise ScheduleError(f"schedule.yml: {model} has no `cron`, so it is never due. Say when:\n{example}")
    return Job(model, spec, _writable(project.root.resolve()), conf / "local" / "schedule.env", program(), env)


def program() -> Path:
    """Return the program `kedro` of this environment.

    Raises:
        ScheduleError: there is none.
    """
    found = Path(sys.executable).with_name("kedro")
    if not (found.is_file() and os.access(found, os.X_OK)):
        raise ScheduleError(
            f"there is no program {found}, which a scheduler would start. Install the project into the environment "
            f"of {sys.executable}: pip install kedro"
        )
    return _writable(found)


def _writable(path: Path) -> Path:
    """Refuse a path that a crontab, a unit or Airflow's templates would read as something else."""
    text = str(path)
    if not text.isprintable() or any(one in text for one in ("{{", "{%", "{#")):
        raise ScheduleError(
            f"the path {text!r} has a character that schedulers cannot take: a line break, another invisible one, or "
            "`{{`. Move it to another folder."
        )
    return path


def unset(variables: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the variables that are set here and move where runs are logged, but that a scheduled run will not see."""
    try:
        known = variables.read_text()
    except OSError:
        known = ""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "KEDRO_ENV")
    return [name for name in names if environment.get(name) and f"{name}=" not in known]
