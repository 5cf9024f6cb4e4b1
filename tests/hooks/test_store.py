import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import TrackingError
from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.hooks.store import Store, metric_names, tracking_uri
from edge_pipeline.pipelines.config import TrackingSpec
from edge_pipeline.tasks.base import evaluator

Make = Callable[..., RunRecord]


def history(client: Any, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


def test_a_run_that_was_begun_is_running_with_its_params_and_tags(store: Store, client: Any) -> None:
    run = client.get_run(store.begin("digits/training", {"epochs": "3"}, {"kind": "training"}, 1234))
    assert (run.info.status, run.info.run_name, run.info.start_time) == ("RUNNING", "digits/training", 1234)
    assert run.data.params == {"epochs": "3"}
    assert run.data.tags["kind"] == "training"


def test_a_complete_record_becomes_a_finished_run_with_all_it_holds(
    store: Store, client: Any, make_record: Make
) -> None:
    run = client.get_run(store.complete(make_record()))
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1_000_000, 2_000_000)
    assert run.info.run_name == "digits@host/onnx/w8a8"
    assert run.data.params == {"model": "digits", "finetune.epochs": "3"}
    assert run.data.metrics == {"accuracy": 0.9, "loss": 1.0}
    assert run.data.tags["kind"] == "target"


def test_the_curve_of_a_metric_has_all_its_steps(store: Store, client: Any, make_record: Make) -> None:
    run_id = store.complete(make_record())
    assert history(client, run_id, "loss") == [(1, 2.0), (2, 1.0)]


def test_files_come_back_byte_for_byte_under_their_paths(
    store: Store, client: Any, make_record: Make, tmp_path: Path
) -> None:
    run_id = store.complete(make_record())
    found = Path(client.download_artifacts(run_id, "onnx/model.onnx", str(tmp_path)))
    assert found.read_bytes() == b"model"


def test_a_table_comes_back_with_its_gaps(store: Store, client: Any, make_record: Make, tmp_path: Path) -> None:
    run_id = store.complete(make_record())
    found = json.loads(Path(client.download_artifacts(run_id, "scorecard.json", str(tmp_path))).read_text())
    assert found == {"columns": ["target", "accuracy"], "data": [["a", 0.5], ["b", None]]}


def test_more_metrics_and_params_than_mlflow_takes_at_once_are_all_logged(
    store: Store, client: Any, make_record: Make
) -> None:
    params = {f"p{index}": str(index) for index in range(250)}
    metrics = tuple((f"m{index}", float(index), 0) for index in range(1950))
    run = client.get_run(store.complete(make_record(params=params, metrics=metrics)))
    assert run.data.params == params
    assert run.data.metrics == {key: value for key, value, _ in metrics}


def test_completing_a_run_that_was_begun_does_not_make_a_second(store: Store, client: Any, make_record: Make) -> None:
    run_id = store.begin("x", {"model": "digits"}, {}, 1)
    assert store.complete(make_record(run_id=run_id)) == run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert len(client.search_runs([run.info.experiment_id])) == 1


def test_a_record_of_a_run_that_the_store_does_not_know_gets_a_new_run(
    store: Store, client: Any, make_record: Make
) -> None:
    run_id = store.complete(make_record(run_id="0" * 32))
    assert run_id != "0" * 32
    assert client.get_run(run_id).data.params == {"model": "digits", "finetune.epochs": "3"}


def test_steps_that_were_logged_while_training_are_not_logged_again(
    store: Store, client: Any, make_record: Make
) -> None:
    run_id = store.begin("x", {}, {}, 1)
    store.log_metrics(run_id, {"loss": 2.0}, 1)
    store.complete(make_record(run_id=run_id), logged_steps=1)
    assert history(client, run_id, "loss") == [(1, 2.0), (2, 1.0)]
    assert history(client, run_id, "accuracy") == [(0, 0.9)]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_is_closed_with_the_status_given(store: Store, client: Any, status: str) -> None:
    run_id = store.begin("x", {}, {}, 1)
    store.close(run_id, status)
    assert client.get_run(run_id).info.status == status


def test_the_dataset_of_a_run_is_named_with_its_digest(store: Store, client: Any, make_record: Make) -> None:
    record = make_record(
        tags={"model": "m", "dataset_hash": "abcdef0123456789"},
        params={"dataset.type": "image_folder", "dataset.path": "/data/x"},
    )
    (found,) = client.get_run(store.complete(record)).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("image_folder", "abcdef01")


def test_a_long_param_is_cut_rather_than_refused(store: Store, client: Any) -> None:
    run = client.get_run(store.begin("x", {"long": "a" * 10_000}, {}, 1))
    assert set(run.data.params["long"]) == {"a"}


def test_a_second_store_of_the_same_experiment_finds_its_runs(
    store: Store, store_uri: str, client: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first = store.begin("x", {}, {}, 1)
    second = Store(store_uri, request.node.nodeid, tmp_path).begin("y", {}, {}, 1)
    assert client.get_run(first).info.experiment_id == client.get_run(second).info.experiment_id


def test_files_of_runs_lie_in_the_project_whatever_the_current_folder(
    store: Store, client: Any, make_record: Make, tmp_path: Path
) -> None:
    run_id = store.complete(make_record())
    assert client.get_run(run_id).info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())
    assert list((tmp_path / "mlartifacts").rglob("model.onnx"))


def test_what_mlflow_refuses_is_reported_with_the_store_and_the_reason(store: Store) -> None:
    with pytest.raises(TrackingError, match=r"MLflow at sqlite:.* cannot be used: .*no-such-run"):
        store.close("no-such-run", "FINISHED")


def test_a_store_of_files_is_reported_when_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"MLflow at file:.* cannot be used"):
        Store((tmp_path / "mlruns").as_uri(), "x", tmp_path)


def test_runs_go_to_the_server_of_the_environment_or_of_the_file_or_to_sqlite_in_the_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root, settings = Path("/project"), TrackingSpec(tracking_uri="http://file")
    assert tracking_uri(TrackingSpec(), root) == "sqlite:////project/mlflow.db"
    assert tracking_uri(settings, root) == "http://file"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert tracking_uri(settings, root) == "http://environment"


@pytest.mark.parametrize("name", ["R&B", "cat (wild)", "50%", "it's"])
def test_the_recall_of_a_class_of_any_name_can_be_logged(store: Store, make_record: Make, name: str) -> None:
    judge = evaluator("classification", (name, "other"))
    for truth in (0, 1):
        judge.add(np.eye(2, dtype=np.float32)[truth], truth)
    found = judge.metrics()
    store.complete(make_record(metrics=tuple((key, value, 0) for key, value in found.items())))


def test_names_that_mlflow_would_take_for_the_same_stay_apart() -> None:
    names = metric_names(["recall_R&B", "recall_R%B", "recall_R_B", "x" * 300])
    assert names["recall_R_B"] == "recall_R_B"
    assert len(set(names.values())) == 4
    assert max(len(name) for name in names.values()) <= 250
