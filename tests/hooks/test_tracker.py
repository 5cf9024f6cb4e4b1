"""The runs of one `kedro run`, in a real store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import TrackingError
from edge_pipeline.hooks import outbox
from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.hooks.tracking import Tracker
from edge_pipeline.pipelines.config import TrackingSpec

Make = Callable[..., RunRecord]


@pytest.fixture
def tracker(store_uri: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Tracker(TrackingSpec(experiment=request.node.nodeid, tracking_uri=store_uri), tmp_path)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    """A tracker whose store is one of files, which MLflow refuses."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Tracker(TrackingSpec(tracking_uri=(tmp_path / "mlruns").as_uri()), tmp_path)


def runs(client: Any, request: pytest.FixtureRequest) -> list[Any]:
    experiment = client.get_experiment_by_name(request.node.nodeid)
    return list(client.search_runs([experiment.experiment_id]))


def test_a_run_is_opened_once_and_completed(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest, make_record: Make
) -> None:
    for _ in range(2):
        tracker.begin("digits@host/onnx/w8a8", {"model": "digits"}, {})
    assert [run.info.status for run in runs(client, request)] == ["RUNNING"]
    tracker.complete(make_record())
    tracker.finish()
    assert [run.info.status for run in runs(client, request)] == ["FINISHED"]


def test_epochs_are_logged_while_they_are_made_and_not_twice(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest, make_record: Make
) -> None:
    tracker.begin("digits/training", {}, {})
    tracker.epoch("digits/training", 1, {"loss": 2.0})
    (run,) = runs(client, request)
    assert run.data.metrics == {"loss": 2.0}
    tracker.complete(make_record(name="digits/training"))
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 2.0), (2, 1.0)]


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_open_runs_are_closed_when_the_run_is_abandoned_and_completed_ones_stay(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest, make_record: Make, status: str
) -> None:
    for name in ("open", "done"):
        tracker.begin(name, {}, {})
    tracker.complete(make_record(name="done", params={}))
    tracker.abandon(status)
    assert {run.info.run_name: run.info.status for run in runs(client, request)} == {
        "open": status,
        "done": "FINISHED",
    }


def test_a_run_that_was_abandoned_keeps_its_first_status(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest
) -> None:
    tracker.begin("open", {}, {})
    tracker.abandon("FAILED")
    tracker.abandon("KILLED")
    assert [run.info.status for run in runs(client, request)] == ["FAILED"]


def test_a_table_is_added_to_the_runs_of_its_model_only(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest, make_record: Make
) -> None:
    for model in ("digits", "other"):
        tracker.complete(make_record(name=model, tags={"model": model}, tables={}, files={}))
    tracker.table("digits", "scorecard", {"target": ["a"]})
    files = {
        run.info.run_name: [f.path for f in client.list_artifacts(run.info.run_id)] for run in runs(client, request)
    }
    assert files == {"digits": ["scorecard.json"], "other": []}


def test_without_mlflow_the_records_are_kept_and_the_user_told_how_to_send_them(
    offline: Tracker, tmp_path: Path, make_record: Make
) -> None:
    assert offline.problem is not None
    offline.begin("digits@host/onnx/w8a8", {}, {})
    offline.epoch("digits@host/onnx/w8a8", 1, {"loss": 1.0})
    offline.complete(make_record())
    with pytest.raises(TrackingError, match=r"1 runs wait in .*`kedro edge track --resend`"):
        offline.finish()
    assert [record.name for _, record in outbox.waiting(tmp_path)] == ["digits@host/onnx/w8a8"]


def test_a_table_of_a_record_that_waits_is_kept_with_it(offline: Tracker, tmp_path: Path, make_record: Make) -> None:
    offline.complete(make_record(tables={}))
    offline.table("digits", "scorecard", {"target": ["a"]})
    with pytest.raises(TrackingError):
        offline.finish()
    ((_, record),) = outbox.waiting(tmp_path)
    assert record.tables == {"scorecard": {"target": ["a"]}}


def test_a_record_that_waited_can_be_sent_later(
    offline: Tracker, tmp_path: Path, make_record: Make, store: Any, client: Any
) -> None:
    offline.complete(make_record())
    with pytest.raises(TrackingError):
        offline.finish()
    ((_, record),) = outbox.waiting(tmp_path)
    run = client.get_run(store.complete(record))
    assert (run.info.status, run.data.metrics["accuracy"]) == ("FINISHED", 0.9)


def test_a_record_that_mlflow_refuses_does_not_stop_the_others(
    tracker: Tracker, client: Any, request: pytest.FixtureRequest, make_record: Make
) -> None:
    for name in ("bad", "good"):
        tracker.begin(name, {}, {})
    tracker.complete(make_record(name="bad", tags={"t" * 300: "a name longer than MLflow takes", "model": "digits"}))
    tracker.complete(make_record(name="good"))
    with pytest.raises(TrackingError, match="refuses a record"):
        tracker.finish()
    assert {run.info.run_name: run.info.status for run in runs(client, request)} == {
        "bad": "FAILED",
        "good": "FINISHED",
    }


def test_records_that_were_not_sent_survive_an_interrupted_run(
    offline: Tracker, tmp_path: Path, make_record: Make
) -> None:
    offline.complete(make_record())
    offline.abandon("KILLED")
    assert [record.name for _, record in outbox.waiting(tmp_path)] == [make_record().name]
