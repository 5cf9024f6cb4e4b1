"""`kedro edge retrain` with the real commands; how single steps fail is tested in tests/pipelines/retrain."""

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def deliver(root: Path, seed: int, count: int, size: int = 8) -> None:
    """Put pictures of noise into the watched folder, under all ten classes in turn."""
    random = np.random.default_rng(seed)
    for index in range(count):
        path = root / "arrivals" / str(index % 10) / f"{seed}-{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (size, size)).astype(np.uint8)).save(path)


class Webhook(ThreadingHTTPServer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def released(finished: Path, project_class: Any, tmp_path_factory: pytest.TempPathFactory, webhook: Webhook) -> Any:
    """A project with a champion, 20 new pictures and a broken file; not to be changed."""
    root = tmp_path_factory.mktemp("retrain") / "project"
    shutil.copytree(finished, root)
    project = project_class(root)
    entry = {
        "new_data": {"path": "arrivals", "min_samples": 20},
        "max_age_days": 30,
        "parameters": {"finetune.epochs": 1},
        "notify": {"webhook": "RETRAIN_WEBHOOK", "on": "always"},
    }
    project.write("conf/base/schedule.yml", {"digits": entry})
    project.kedro("edge", "bundle", "keygen").succeeded()
    project.kedro("edge", "release", "digits", "--promote").succeeded()
    deliver(root, 1, 19)
    (root / "arrivals" / "0" / "broken.png").write_bytes(b"not a picture")
    return project


@pytest.fixture
def project(
    released: Any, project_class: Any, tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> Any:
    shutil.copytree(released.root, tmp_path / "project")
    webhook.told.clear()
    monkeypatch.setenv("RETRAIN_WEBHOOK", f"http://127.0.0.1:{webhook.server_port}/hook")
    return project_class(tmp_path / "project")


def journal(project: Any) -> Any:
    return json.loads((project.root / "data/02_intermediate/digits/retrain.json").read_text())


def going(project: Any, *done: str) -> None:
    """Let a training be under way whose steps so far were done."""
    run = {"id": "run1", "started": "today", "reasons": ["--force"], "done": dict.fromkeys(["take", *done], 1.0)}
    project.write("data/02_intermediate/digits/retrain.json", json.dumps({"open": run}))


def test_it_trains_from_the_champion_when_enough_arrived_and_only_then(project: Any, webhook: Webhook) -> None:
    first = project.kedro("edge", "retrain", "digits").succeeded().output
    assert "new_data: 19 of 20 samples (broken files: 1): does not fire" in first
    assert "max_age_days: 0.0 of 30 days: does not fire" in first and "Nothing to do." in first
    assert not webhook.told and not (project.root / "data/01_raw").exists()

    deliver(project.root, 2, 1)
    output = project.kedro("edge", "retrain", "digits").succeeded().output
    assert "new samples: 20 taken in, 0 known already, 1 broken" in output
    assert "Begins from the weights of digits version 1: data/06_models/digits/champion/" in output
    assert "digits version 2 is the champion now instead of version 1" in output
    assert journal(project)["open"] is None and journal(project)["last"]["outcome"] == "released"
    split = json.loads((project.root / "data/02_intermediate/digits/split.json").read_text())["record"]
    assert sum(index >= 1797 for index in split["train"]) == 20
    assert not [index for part in ("validation", "test") for index in split[part] if index >= 1797]
    (quarantined,) = (project.root / "data/01_raw/digits/quarantine").glob("*/broken.png")
    assert quarantined.read_bytes() == b"not a picture" and (project.root / "arrivals/0/broken.png").exists()
    (message,) = webhook.told
    assert message["outcome"] == "released" and message["model"] == "digits"
    (report,) = (project.root / "data/08_reporting/digits/retrain").glob("*.md")
    assert "# digits was trained again and released" in report.read_text()
    run = next(one for one in project.runs() if one.info.run_name == "digits/retrain")
    assert run.info.status == "FINISHED" and run.data.tags["kind"] == "retrain"
    assert run.data.metrics["new_samples"] == 20 and run.data.metrics["train_s"] > 0
    training = [one for one in project.runs() if one.info.run_name == "digits/training"][-1]
    assert training.data.params["finetune.checkpoint"].endswith(".pt")
    assert training.data.params["finetune.epochs"] == "1"


def test_a_gate_that_refuses_ends_it_with_status_1_and_tells_people(project: Any, webhook: Webhook) -> None:
    project.write("conf/base/gates.yml", {"digits": {"rules": ["accuracy >= 99.99%"]}})
    going(project, "train")
    result = project.kedro("edge", "retrain", "digits")
    assert result.status == 1 and "Traceback" not in result.output, result.output
    assert "train: done before" in result.output and "rules of its gate are broken" in result.output
    assert "kedro edge promote" not in result.output
    assert journal(project)["open"] is None and journal(project)["last"]["outcome"] == "refused"
    (message,) = webhook.told
    assert message["outcome"] == "refused" and "accuracy" in message["problem"]
    run = next(one for one in project.runs() if one.info.run_name == "digits/retrain")
    assert run.info.status == "FAILED"


def test_mlflow_that_is_down_fails_it_with_one_message_and_nothing_is_lost(project: Any, webhook: Webhook) -> None:
    down = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    deliver(project.root, 2, 1)
    result = project.kedro("edge", "retrain", "digits", **down)
    assert result.status == 1 and "Traceback" not in result.output, result.output
    assert "MLflow at http://127.0.0.1:9 cannot be used" in result.output
    (message,) = webhook.told
    assert message["outcome"] == "failed" and message["run"] == ""
    assert not (project.root / "data/01_raw").exists()
    (waiting,) = (project.root / "data/08_reporting/mlflow_outbox").glob("*/record.json")
    assert json.loads(waiting.read_text())["name"] == "digits/retrain"


def test_a_second_one_is_refused_while_a_look_is_allowed(project: Any) -> None:
    from edge_pipeline.pipelines.retrain.journal import Journal

    going(project, "train")
    with Journal(project.root, "digits").alone():
        result = project.kedro("edge", "retrain", "digits", "--force")
        result.refused(f"being trained again already (process {os.getpid()} on {socket.gethostname()}")
        plan = project.kedro("edge", "retrain", "digits", "--dry-run").succeeded().output
    assert "The training run1 of today is not over; done: take, train." in plan
    assert "kedro edge release digits" in plan and "kedro run" not in plan
