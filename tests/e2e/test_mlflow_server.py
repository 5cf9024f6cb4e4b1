"""Runs on an MLflow server, and results when it does not answer."""

import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.slow

BOTH = {"digits/training": "FINISHED", "digits@host/onnx/float": "FINISHED"}


@pytest.fixture
def server(tmp_path, started, eventually):
    """Return a function that starts the MLflow server of one store, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"

    def start():
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", tmp_path / "art"]
        process = started(
            subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1", *store],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        eventually(lambda: answers(address))
        return process

    return start, address


def answers(address):
    try:
        return urllib.request.urlopen(f"{address}/health", timeout=2).status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def statuses(address):
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("edge-pipeline")
    return {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}


def test_runs_go_to_the_server_named_by_the_variable(project, server):
    start, address = server
    start()
    project.kedro("run", MLFLOW_TRACKING_URI=address).succeeded()
    assert statuses(address) == BOTH
    assert not (project.root / "mlflow.db").exists()


def test_a_server_that_is_down_loses_nothing(project, server):
    start, address = server
    result = project.kedro("run", MLFLOW_TRACKING_URI=address)
    result.refused(f"MLflow at {address} cannot be used", "All results are on disk; 2 runs wait", "track --resend")
    assert "digits@host/onnx/float" in result.output
    assert (project.root / "data/08_reporting/digits/scorecard.csv").is_file()
    waiting = project.kedro("edge", "track").succeeded().output
    assert "digits/training" in waiting
    assert "2 runs wait" in waiting

    still_down = project.kedro("edge", "track", "--resend", MLFLOW_TRACKING_URI=address)
    still_down.refused(f"MLflow at {address} cannot be used")

    start()
    sent = project.kedro("edge", "track", "--resend", MLFLOW_TRACKING_URI=address).succeeded()
    assert "2 runs logged" in sent.output
    assert statuses(address) == BOTH
    assert "No runs wait" in project.kedro("edge", "track", MLFLOW_TRACKING_URI=address).succeeded().output


def test_a_server_that_dies_meanwhile_loses_nothing(project, server, started, end):
    start, address = server
    process = start()
    run = started(project.start("run", MLFLOW_TRACKING_URI=address))
    project.until(run, "digits.finetune\n")
    end(process)
    output, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    assert "All results are on disk" in output

    start()
    project.kedro("edge", "track", "--resend", MLFLOW_TRACKING_URI=address).succeeded()
    assert statuses(address) == BOTH
