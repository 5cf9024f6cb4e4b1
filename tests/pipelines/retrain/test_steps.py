import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.retrain.steps import KEDRO, Step, refusals, run_step

PYTHON = (sys.executable, "-c")


def run(code: str, folder: Path, said: list[str] | None = None) -> object:
    return run_step(
        Step("x", (code,)), folder, folder / "logs" / "x.log", (said if said is not None else []).append, PYTHON
    )


def test_what_a_step_says_is_passed_on_and_kept(tmp_path: Path) -> None:
    said: list[str] = []
    ended = run("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)", tmp_path, said)
    assert sorted(said) == ["one", "two"] and ended.status == 3 and sorted(ended.tail) == ["one", "two"]  # type: ignore[attr-defined]
    assert sorted((tmp_path / "logs" / "x.log").read_text().split()) == ["one", "two"]


def test_a_step_that_dies_of_a_signal_says_so(tmp_path: Path) -> None:
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path).status == -signal.SIGKILL  # type: ignore[attr-defined]


def test_a_step_works_in_the_folder_of_the_project_whatever_bytes_it_prints(tmp_path: Path) -> None:
    said: list[str] = []
    run("import os, sys; print(os.getcwd(), flush=True); sys.stdout.buffer.write(b'\\xff\\n')", tmp_path, said)
    assert said[0] == str(tmp_path) and len(said) == 2


def test_sigterm_reaches_the_step_and_then_ends_the_job(tmp_path: Path) -> None:
    inner = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit('step ended'))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    outer = (
        "import sys; from pathlib import Path; from edge_pipeline.pipelines.retrain.steps import Step, run_step\n"
        f"run_step(Step('x', ({inner!r},)), Path({str(tmp_path)!r}), Path({str(tmp_path)!r}) / 'x.log', "
        "lambda line: print(line, flush=True), (sys.executable, '-c'))\nprint('went on')"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 143 and "step ended" in rest and "went on" not in rest


def test_kedro_ends_with_the_job(tmp_path: Path) -> None:
    """The real command, in place of what would hold the project's lock for hours."""
    outer = (
        "import os, subprocess, sys; from edge_pipeline.pipelines.retrain.steps import KEDRO\n"
        "hang = KEDRO[2].replace('runpy.run_module', 'print(os.getpid(), flush=True); time.sleep(60); runpy.x')\n"
        "child = subprocess.Popen([KEDRO[0], '-c', 'import os, time; ' + hang], "
        "env={**os.environ, 'EDGE_PIPELINE_PARENT': str(os.getpid())})\nchild.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and _running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert KEDRO[0] == sys.executable


def _running(child: int) -> bool:
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_rules_that_a_gate_broke_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gate.xml"
    assert refusals(path) == []
    path.write_text(
        "<testsuites><testsuite><testcase classname='m@host' name='a'/><testcase classname='m@host' name='b'>"
        "<failure message='value 1'/></testcase><testcase name='c'><skipped/></testcase></testsuite></testsuites>"
    )
    assert refusals(path) == ["m@host: b: value 1"]
    path.write_text("<testsuites>")
    with pytest.raises(RetrainError, match="damaged"):
        refusals(path)
