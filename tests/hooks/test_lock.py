import signal
from pathlib import Path

import pytest

from edge_pipeline.core.errors import ProjectBusyError
from edge_pipeline.hooks.lock import ProjectLock

HOLDER = """
import sys
from pathlib import Path
from edge_pipeline.hooks.lock import ProjectLock
lock = ProjectLock(Path("."))
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_project_held_by_a_living_process_is_refused_naming_the_process(tmp_path: Path, start_python) -> None:
    holder = start_python(HOLDER)
    assert holder.stdout.readline() == "taken\n"
    with pytest.raises(ProjectBusyError) as raised:
        ProjectLock(tmp_path).take()
    for text in (f"process {holder.pid}", str(tmp_path), "Wait for it to end"):
        assert text in str(raised.value)


def test_a_project_is_free_again_when_its_holder_was_killed(tmp_path: Path, start_python) -> None:
    holder = start_python(HOLDER)
    assert holder.stdout.readline() == "taken\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    ProjectLock(tmp_path).take()


def test_a_project_is_free_again_when_its_holder_let_it_go(tmp_path: Path) -> None:
    first, second = ProjectLock(tmp_path), ProjectLock(tmp_path)
    first.take()
    with pytest.raises(ProjectBusyError):
        second.take()
    first.release()
    second.take()


def test_two_projects_can_be_held_at_once(tmp_path: Path) -> None:
    for name in "ab":
        ProjectLock(tmp_path / name).take()
