"""A disk that is full gives one message, and the same command works once there is room."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk():
    """Mount a file system of a given size; all are unmounted at the end."""
    mounted = []

    def mount(path, size):
        path.mkdir(parents=True, exist_ok=True)
        if not shutil.which("mount"):
            pytest.skip("there is no `mount` here")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"mounting a file system is not permitted here: {done.stderr.strip()}")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("size", ["16k", "256k", "1m", "2m"])
def test_a_full_disk_and_the_same_command_again(project, small_disk, size):
    data = project.root / "data"
    small_disk(data, size)
    project.kedro("run").refused("the disk is full", str(data), "Free some space and run the same command again")
    assert not list(data.rglob(".*.tmp"))
    assert "FINISHED" not in {s for name, s in project.statuses().items() if name != "digits/training"}

    subprocess.run(["mount", "-o", "remount,size=64m", str(data)], check=True)
    project.kedro("run").succeeded()
    assert project.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}


def test_an_mlflow_store_on_a_full_disk_loses_no_result(project, small_disk, tmp_path):
    store = tmp_path / "store"
    small_disk(store, "128k")
    result = project.kedro("run", MLFLOW_TRACKING_URI=f"sqlite:///{store}/mlflow.db")
    result.refused("All results are on disk", "kedro edge track --resend")
    assert "digits@host/onnx/float" in result.output
    sent = project.kedro("edge", "track", "--resend").succeeded()
    assert "2 runs logged" in sent.output
    assert project.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}
