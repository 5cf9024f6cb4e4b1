"""A disk that is full gives one message, and the same command works once there is room."""

import subprocess

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", ["16k", "1m"])
def test_a_full_disk_and_the_same_command_again(project, mount_disk, size):
    data = project.root / "data"
    mount_disk(data, size)
    project.kedro("run").refused("the disk is full", str(data), "Free some space and run the same command again")
    assert not list(data.rglob(".*.tmp"))
    assert "FINISHED" not in {s for name, s in project.statuses().items() if name != "digits/training"}

    subprocess.run(["mount", "-o", "remount,size=64m", str(data)], check=True)
    project.kedro("run").succeeded()
    assert project.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}


def test_an_mlflow_store_on_a_full_disk_loses_no_result(project, mount_disk, tmp_path):
    store = tmp_path / "store"
    mount_disk(store, "128k")
    result = project.kedro("run", MLFLOW_TRACKING_URI=f"sqlite:///{store}/mlflow.db")
    result.refused("All results are on disk", "kedro edge track --resend")
    assert "digits@host/onnx/float" in result.output
    sent = project.kedro("edge", "track", "--resend").succeeded()
    assert "2 runs logged" in sent.output
    assert project.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}
