"""`kedro run` with a device of AI Hub beside this machine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.devices.aihub.conftest import Hub, served

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


class Run:
    """A project after `kedro run`, and the hub that its device is at."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder, self.hub, self.project = folder, hub, folder / "project"
        self.run = self.kedro("run")

    def kedro(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `kedro ...` to its end."""
        changed = {"QAIHUB_CLIENT_INI": str(self.hub.ini), "KEDRO_DISABLE_TELEMETRY": "1", "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", "kedro", *words],
            cwd=self.project,
            env={key: value for key, value in os.environ.items() if key != "QAIHUB_API_TOKEN"} | changed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("cloud")
    project = folder / "project"
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project)
    cloud = {"kind": "aihub", "hub_device": "host", "folder": str(folder / "ledger")}
    base = project / "conf" / "base"
    digits = yaml.safe_load((base / "models.yml").read_text())["digits"]
    targets = {"devices": ["host", "cloud"], "runtimes": ["onnx"], "precisions": ["float", "w8a8"]}
    (base / "devices.yml").write_text(yaml.safe_dump({"host": {"kind": "host"}, "cloud": cloud}))
    (base / "models.yml").write_text(yaml.safe_dump({"digits": {**digits, "targets": targets}}))
    for path in (base / "parameters").glob("*.yml"):
        path.unlink()
    (base / "parameters" / "digits.yml").write_text(yaml.safe_dump({"digits": {"finetune": {"epochs": 2}}}))
    with served(folder / "hub") as hub:
        yield Run(folder, hub)


def test_the_targets_of_the_hub_are_as_accurate_as_those_of_this_machine(done: Run) -> None:
    assert done.run.returncode == 0, done.run.stdout
    table = pd.read_csv(done.project / "data/08_reporting/digits/scorecard.csv")
    assert (table["status"] == "ok").all(), done.run.stdout
    found = table.set_index(["device", "precision"])
    assert len(found) == 4
    for precision in ("float", "w8a8"):
        here, there = found.loc[("host", precision)], found.loc[("cloud", precision)]
        assert there["accuracy"] == here["accuracy"] > 0.3
        assert there["latency_p50_ms"] > 0 and there["latency_p99_ms"] >= there["latency_p50_ms"]
        assert there["load_ms"] > 0 and there["peak_memory_mb"] > 0
    assert sorted(name.split()[1] for name in done.hub.jobs()) == 2 * ["compile"] + 4 * ["inference"] + 2 * ["profile"]


def test_results_are_in_mlflow_with_the_page_of_the_job(done: Run) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{done.project / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'edge-pipeline'")
    runs: dict[str, Any] = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    cloud = runs["digits@cloud/onnx/w8a8"]
    assert cloud.info.status == "FINISHED"
    assert {"latency_p50_ms", "latency_p99_ms", "load_ms", "warm_load_ms", "accuracy"} <= set(cloud.data.metrics)
    assert not {"power_mean_w", "energy_mj", "first_inference_ms"} & set(cloud.data.metrics)
    assert cloud.data.params["device"] == "cloud"
    assert done.hub.address in str(cloud.data.tags)


def test_the_token_is_in_no_file_of_the_project_and_was_not_printed(done: Run) -> None:
    token = done.hub.token
    files = [one for top in (done.project, done.folder / "ledger") for one in top.rglob("*") if one.is_file()]
    assert (done.project / "mlflow.db") in files and len(files) > 100
    assert [one for one in files if token.encode() in one.read_bytes()] == []
    assert token not in done.run.stdout
    assert token in done.hub.ini.read_text(), "it is found where it is"


def test_the_next_run_measures_again_and_pays_for_nothing_else(done: Run) -> None:
    before = len(done.hub.jobs())
    again = done.kedro("run")
    assert again.returncode == 0, again.stdout
    new = done.hub.jobs()[:-before]
    assert [name.split()[1] for name in new] == ["profile", "profile"]


def test_the_hub_quantizes_instead_of_aimet_where_that_is_asked_for(done: Run) -> None:
    before = len(done.hub.jobs())
    there = done.kedro("run", "--params", "digits.quantize.where=hub")
    assert there.returncode == 0, there.stdout
    new = [name.split()[1] for name in done.hub.jobs()[:-before]]
    assert sorted(new) == ["compile", *["inference"] * 2, *["profile"] * 2, "quantize"], "float was compiled before"
    assert "digits/w8a8: quantize on AI Hub, job j" in there.stdout
    table = pd.read_csv(done.project / "data/08_reporting/digits/scorecard.csv").set_index(["device", "precision"])
    for device in ("host", "cloud"):
        found = table.loc[(device, "w8a8")]
        assert found["status"] == "ok"
        assert abs(found["accuracy"] - table.loc[(device, "float")]["accuracy"]) < 0.05
        assert found["sqnr_float_db"] > 15 and pd.isna(found["sqnr_sim_db"])
        assert table.loc[(device, "float")]["sqnr_sim_db"] > 80
    listed = done.kedro("edge", "hub", "jobs", "--limit", "100").stdout
    lines = {tuple(line.split()[:4]) for line in listed.splitlines()}
    assert ("digits/w8a8", "quantize", "-", "done") in lines, listed
    assert ("digits@cloud/onnx/w8a8", "compile", "host", "done") in lines, listed


def test_devices_are_listed(done: Run) -> None:
    listed = done.kedro("edge", "devices", "cloud")
    assert listed.returncode == 0 and " ready " in listed.stdout, listed.stdout
    offered = done.kedro("edge", "devices", "--hub").stdout
    lines = [line.split() for line in offered.splitlines()]
    assert ["npu", "linux", "qualcomm-qcs8550", "v73", "onnx,", "qnn"] in lines, offered
    assert f"2 devices at {done.hub.address}" in offered
    refused = done.kedro("edge", "devices", "--hub", "cloud")
    assert refused.returncode == 2 and "leave out what comes after it" in refused.stdout
    done.hub.configure("a-wrong-token-0123456789")
    wrong = done.kedro("edge", "devices", "--hub")
    assert wrong.returncode == 1 and "does not accept the token" in wrong.stdout
    assert "Traceback" not in wrong.stdout
