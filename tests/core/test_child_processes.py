import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_pipeline.core.child import ChildError, run_child

Run = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs Python code with `run_child`."""

    def start(code: str, *arguments: str, time_limit_s: float = 30, **environment: str) -> None:
        (tmp_path / "child_module.py").write_text(code)
        environment = {"PYTHONPATH": str(tmp_path), **environment}
        run_child("child_module", arguments, time_limit_s=time_limit_s, environment=environment)

    return start


def test_a_child_gets_its_arguments_and_environment(run: Run, tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['WORD'] + ' ' + os.environ['HOME'])"
    run(code, str(tmp_path / "out"), WORD="hello")
    assert (tmp_path / "out").read_text() == f"hello {os.environ['HOME']}"


def test_what_a_successful_child_prints_stays_off_the_screen(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("import sys; print('noise'); print('more', file=sys.stderr)")
    assert capfd.readouterr() == ("", "")


def test_an_exit_status_is_named(run: Run) -> None:
    with pytest.raises(ChildError, match="it ended with exit status 3"):
        run("raise SystemExit(3)")


def test_the_message_ends_with_what_the_child_said_last(run: Run) -> None:
    code = "import sys; print('early ' * 2000); print('the reason', file=sys.stderr); sys.exit(1)"
    with pytest.raises(ChildError) as raised:
        run(code)
    assert str(raised.value).endswith("the reason")
    assert len(str(raised.value)) < 2000


def test_output_that_is_no_text_does_not_hide_the_error(run: Run) -> None:
    with pytest.raises(ChildError, match="exit status 1"):
        run("import sys; sys.stdout.buffer.write(bytes(range(256))); sys.exit(1)")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_deadly_signal_is_named(run: Run, name: str) -> None:
    with pytest.raises(ChildError, match=f"it died of {name}"):
        run(
            f"import os, resource, signal; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
            f"os.kill(os.getpid(), signal.{name})"
        )


def test_a_child_over_its_time_limit_is_stopped_and_the_limit_named(run: Run) -> None:
    start = time.monotonic()
    with pytest.raises(ChildError, match=r"its time limit of 0\.5 s"):
        run("import time; time.sleep(60)", time_limit_s=0.5)
    assert time.monotonic() - start < 20


@pytest.mark.slow
def test_the_time_limit_ends_grandchildren_too(run: Run, tmp_path: Path, eventually, alive) -> None:
    code = """
import subprocess, sys, time
grandchild = subprocess.Popen(["sleep", "60"])
open(sys.argv[1], "w").write(str(grandchild.pid))
time.sleep(60)
"""
    with pytest.raises(ChildError, match="time limit"):
        run(code, str(tmp_path / "pid"), time_limit_s=3)
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
sys.path.insert(0, ".")
from edge_pipeline.core.child import run_child
run_child("sleeper", [], time_limit_s=60, environment={"PYTHONPATH": "."})
"""
SLEEPER = """
import os, time
from pathlib import Path
from edge_pipeline.core.child import die_with_parent
die_with_parent()
Path("new").write_text(str(os.getpid()))
Path("new").rename("pid")
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_child_does_not_outlive_its_parent(
    number: signal.Signals, tmp_path: Path, start_python, eventually, alive
) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    parent: subprocess.Popen[str] = start_python(PARENT)
    eventually((tmp_path / "pid").is_file)
    child = int((tmp_path / "pid").read_text())
    assert alive(child)
    parent.send_signal(number)
    parent.wait(30)
    eventually(lambda: not alive(child))


def test_a_child_whose_parent_is_gone_already_ends_at_once(run: Run) -> None:
    code = """
import os, time
os.environ["EDGE_PIPELINE_PARENT"] = "1" if os.getppid() != 1 else "2"
from edge_pipeline.core.child import die_with_parent
die_with_parent()
time.sleep(60)
"""
    with pytest.raises(ChildError, match="exit status 1"):
        run(code)


def test_children_can_run_beside_each_other(run: Run, tmp_path: Path) -> None:
    """Each waits for the file of the other."""
    code = """
import sys, time
from pathlib import Path
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""
    names = [str(tmp_path / "a"), str(tmp_path / "b")]
    (tmp_path / "child_module.py").write_text(code)
    threads = [threading.Thread(target=run, args=(code, *order)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_deadly_signal_without_a_name_is_an_error_as_any_other(run: Run) -> None:
    with pytest.raises(ChildError):
        run("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)")
