"""A scheduled model, without a project around it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec
from edge_pipeline.scheduling.job import Job


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Return a function that makes a job of a project whose folder has a name that nobody expects."""
    root = tmp_path / "a 100% 'odd' \"$HOME\" folder"
    (root / "conf" / "local").mkdir(parents=True)

    def make(kedro: str | None = None, env: str | None = None, **entry: Any) -> Job:
        program = root / "bin of it" / "kedro"
        if kedro is not None:
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{kedro}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        spec = ScheduleSpec(**{"cron": "0 3 * * 1", **entry})
        return Job("digits", spec, root, root / "conf" / "local" / "schedule.env", program, env)

    return make


@pytest.fixture
def bare_environment(tmp_path: Path) -> dict[str, str]:
    """What cron gives to a command."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SHELL": "/bin/sh", "LOGNAME": os.environ.get("USER", "x")}
