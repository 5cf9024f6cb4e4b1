"""A run that is killed or interrupted loses nothing, and nothing of it is taken for a result."""

import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RESULTS = (
    "06_models/digits/weights/weights.pt",
    "06_models/digits/w8a8/exported/model.onnx",
    "06_models/digits/host-onnx-w8a8/compiled/model.onnx",
)
W8A8 = {"targets": {"runtimes": ["onnx"], "precisions": ["w8a8"]}}


def device_processes(project):
    """Return the ids of the processes that run an artifact for `project`; their command line names its folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if "devices.agent" in arguments and str(project.temporary) in arguments:
            found.append(process.name)
    return found


def test_sigkill_in_any_stage_then_run_again(project, started, tmp_path_factory):
    project.configure(W8A8)
    for stage in ("split", "finetune", "w8a8.export", "validate"):
        process = started(project.start("run"))
        project.until(process, f"{stage}\n")
        process.kill()
        process.wait()
    assert "RUNNING" in project.statuses().values()

    project.kedro("run").succeeded()
    assert set(project.statuses().values()) == {"FINISHED"}
    assert "RUNNING" not in {run.info.status for run in project.runs()}
    assert not list((project.root / "data").rglob(".*.tmp"))
    assert not device_processes(project)

    never_killed = type(project)(tmp_path_factory.mktemp("other") / "project")
    project.copy_to(never_killed.root)
    never_killed.kedro("run").succeeded()
    for name in RESULTS:
        assert (project.root / "data" / name).read_bytes() == (never_killed.root / "data" / name).read_bytes(), name


def test_sigkill_while_training_resumes_at_the_last_epoch(project, started, eventually):
    project.configure(finetune={"epochs": 60, "patience": 60})
    checkpoint = project.root / "data/06_models/digits/checkpoints/last.pt"
    process = started(project.start("run"))
    eventually(checkpoint.is_file)
    time.sleep(0.5)
    process.kill()
    process.wait()
    result = project.kedro("run", "--tags", "finetune").succeeded()
    assert ", resumed after epoch " in result.output
    assert "digits.finetune" in result.output


@pytest.mark.parametrize(("signal_number", "status"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_killed_in_mlflow(project, started, eventually, signal_number, status):
    project.configure(finetune={"epochs": 500, "patience": 500})
    process = started(project.start("run"))
    eventually((project.root / "data/06_models/digits/checkpoints/last.pt").is_file)
    process.send_signal(signal_number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert "Traceback" not in output, output
    assert project.statuses() == {"digits/training": "KILLED"}


def test_ctrl_c_while_profiling_ends_the_device_process(trained, started, eventually):
    trained.configure(profile={"min_seconds": 60})
    process = started(trained.start("run"))
    trained.until(process, "host-onnx-float.compile\n")
    eventually(lambda: device_processes(trained))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1
    eventually(lambda: not device_processes(trained), 10)
    assert trained.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "KILLED"}


def test_two_runs_at_once(project, started):
    first = started(project.start("run"))
    project.until(first, "digits.split\n")
    project.kedro("run").refused(f"another run (process {first.pid}) is working in {project.root}", "Wait for it")
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert set(project.statuses().values()) == {"FINISHED"}
    project.kedro("run", "--only-missing-outputs").succeeded()
