"""One SQLite store for all tests, one experiment for each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.pipelines.config import Project, parse


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def store(store_uri: str, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    from edge_pipeline.hooks.store import Store

    return Store(store_uri, request.node.nodeid, tmp_path)


@pytest.fixture
def client(store_uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(store_uri)


@pytest.fixture
def project(tmp_path: Path, default_configuration: dict[str, Any]) -> Project:
    """The ready project, at `tmp_path`."""
    return parse(tmp_path, **default_configuration)


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    def make(**changes: Any) -> RunRecord:
        fields: dict[str, Any] = {
            "name": "digits@host/onnx/w8a8",
            "experiment": "edge-pipeline",
            "status": "FINISHED",
            "started": 1_000_000,
            "ended": 2_000_000,
            "params": {"model": "digits", "finetune.epochs": "3"},
            "tags": {"kind": "target", "model": "digits"},
            "metrics": (("accuracy", 0.9, 0), ("loss", 2.0, 1), ("loss", 1.0, 2)),
            "tables": {"scorecard": {"target": ["a", "b"], "accuracy": [0.5, None]}},
            "files": {"onnx/model.onnx": b"model", "profile.json": b"{}"},
        }
        return RunRecord(**{**fields, **changes})

    return make
