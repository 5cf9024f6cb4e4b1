"""`kedro run` with several boards: they work at once, and one that fails harms none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from edge_pipeline.devices.inventory import DeviceSpec

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def finished(sshd: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """A project whose run had two boards and one that is not there; what it printed; its exit status."""
    import getpass

    if sshd.process is None:
        sshd.start()
    folder = tmp_path_factory.mktemp("several")
    project = folder / "project"
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    key = (sshd.folder / "host.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[{host}]:{sshd.port} {key}" for host in ("127.0.0.1", "localhost")))

    def board(host: str, port: int) -> dict[str, Any]:
        spec = DeviceSpec(
            kind="ssh",
            address=f"{getpass.getuser()}@{host}:{port}",
            keys=(sshd.folder / "user",),
            known_hosts=folder / "known_hosts",
            python=sys.executable,
            folder=str(folder / f"{host}-{port}"),
        )
        return {**spec.model_dump(mode="json", exclude_unset=True), "retry": {"backoff_s": 0.1}}

    devices = {
        "host": {"kind": "host"},
        "first": board("127.0.0.1", sshd.port),
        "second": board("localhost", sshd.port),
        "gone": board("127.0.0.1", 1),
    }
    base = project / "conf" / "base"
    models = yaml.safe_load((base / "models.yml").read_text())
    targets = {"devices": list(devices), "runtimes": ["onnx"], "precisions": ["float"]}
    (base / "devices.yml").write_text(yaml.safe_dump(devices))
    (base / "models.yml").write_text(yaml.safe_dump({"digits": {**models["digits"], "targets": targets}}))
    for path in (base / "parameters").glob("*.yml"):
        path.unlink()
    (base / "parameters" / "digits.yml").write_text(yaml.safe_dump({"digits": {"finetune": {"epochs": 1}}}))
    done = subprocess.run(
        [sys.executable, "-m", "kedro", "run"],
        cwd=project,
        env={**os.environ, "KEDRO_DISABLE_TELEMETRY": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return project, done.stdout, done.returncode


def test_the_targets_of_the_others_are_finished(finished: tuple[Path, str, int]) -> None:
    project, output, _ = finished
    table = pd.read_csv(project / "data/08_reporting/digits/scorecard.csv").set_index("device")
    assert set(table.index) == {"host", "first", "second", "gone"}, output
    good = table.loc[["host", "first", "second"]]
    assert (good["status"] == "ok").all(), output
    assert good["latency_p50_ms"].notna().all()
    assert good["accuracy"].nunique() == 1


def test_what_failed_is_told_with_the_number_of_tries(finished: tuple[Path, str, int]) -> None:
    _, output, status = finished
    assert status == 1
    message = output.split("\nError: ")[1]
    assert "digits@gone/onnx/float: profile failed" in message
    assert "cannot be reached" in message
    assert "(tried 2 times)" in message
    assert "digits@first" not in message


def test_the_boards_worked_at_once(finished: tuple[Path, str, int]) -> None:
    from mlflow import MlflowClient

    project, output, _ = finished
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'edge-pipeline'")
    runs = {run.info.run_name: run.info for run in client.search_runs([experiment.experiment_id])}
    first, second = (runs[f"digits@{name}/onnx/float"] for name in ("first", "second"))
    assert max(first.start_time, second.start_time) < min(first.end_time, second.end_time), output
    assert runs["digits@gone/onnx/float"].status == "FAILED"
