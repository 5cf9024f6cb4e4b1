"""Log run records to MLflow, with explicit run ids and no global state."""

import contextlib
import json
import logging
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import RecordRefusedError, TrackingError
from edge_pipeline.hooks.records import RunRecord
from edge_pipeline.pipelines.config import TrackingSpec

_BATCH, _PARAMS = 900, 100
"""MLflow takes at most 1,000 metrics and 100 parameters in one request."""
_UNUSABLE = re.compile(r"[^\w\-. :]")
"""Characters, for example of the name of a class, that MLflow does not take in the name of a metric."""
_LONGEST = 240
"""MLflow takes names of up to 250 characters."""
_TRAINING_PAGE = {"mlflow.experimentKind": "custom_model_development"}
"""Tells MLflow's page to show runs and charts, not the tools for language models."""


def tracking_uri(settings: TrackingSpec, root: Path) -> str:
    """Return where runs go: MLFLOW_TRACKING_URI, mlflow.yml, or a SQLite file in the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or settings.tracking_uri or f"sqlite:///{root / 'mlflow.db'}"


class Store:
    """One MLflow experiment.

    Raises:
        TrackingError: from every method, when MLflow does not answer or refuses.
    """

    def __init__(self, uri: str, experiment: str, root: Path) -> None:
        self.uri = uri
        with self.errors():
            for name, value in (("MAX_RETRIES", "2"), ("TIMEOUT", "15"), ("BACKOFF_FACTOR", "1")):
                os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
            os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            from mlflow import MlflowClient

            for name in ("alembic", "urllib3", "mlflow"):
                logging.getLogger(name).setLevel(logging.ERROR)

            self.client: Any = MlflowClient(uri, registry_uri=uri)
            found = self.client.get_experiment_by_name(experiment)
            local = (root / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
            self._experiment: str = (
                found.experiment_id
                if found
                else self.client.create_experiment(experiment, artifact_location=local, tags=_TRAINING_PAGE)
            )

    def begin(self, name: str, params: Mapping[str, str], tags: Mapping[str, str], started: int) -> str:
        """Create a run with status RUNNING and return its id. The tags say which process it belongs to."""
        from mlflow.entities import Param

        with self.errors():
            run = self.client.create_run(
                self._experiment, start_time=started, tags={**tags, **process_tags()}, run_name=name
            )
            typed = [Param(key, value[:6000]) for key, value in params.items()]
            for start in range(0, len(typed), _PARAMS):
                self.client.log_batch(run.info.run_id, params=typed[start : start + _PARAMS])
            return str(run.info.run_id)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics of one step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self.errors():
            self.client.log_batch(run_id, metrics=[Metric(k, v, now, step) for k, v in metrics.items()])

    def complete(self, record: RunRecord, logged_steps: int = 0) -> str:
        """Log all of `record` and close its run; return the run's id.

        Args:
            record: its `run_id` is the run to complete; a new one is made if that is `None` or of another store.
            logged_steps: metrics up to this step were logged while they were made.

        Raises:
            RecordRefusedError: MLflow answers, but does not take the record.
        """
        from mlflow.entities import Metric, RunTag

        run_id = record.run_id
        if run_id is None or not self._knows(run_id):
            run_id = self.begin(record.name, record.params, record.tags, record.started)
        names = metric_names(key for key, _, _ in record.metrics)
        metrics = [
            Metric(names[key], value, record.ended, step)
            for key, value, step in record.metrics
            if not 0 < step <= logged_steps
        ]
        with self.errors(of_record=True):
            for start in range(0, len(metrics), _BATCH):
                self.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
            self.client.log_batch(run_id, tags=[RunTag(k, v[:5000]) for k, v in record.tags.items()])
            self._log_dataset(run_id, record)
            with tempfile.TemporaryDirectory() as folder:
                for name, content in record.files.items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                if record.files:
                    self.client.log_artifacts(run_id, folder)
        for name, columns in record.tables.items():
            self.log_table(run_id, name, columns)
        self.close(run_id, record.status, record.ended)
        return run_id

    def _knows(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        with self.errors():
            try:
                self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise
        return True

    def _log_dataset(self, run_id: str, record: RunRecord) -> None:
        """Fill the column `Dataset` of the runs table: type and the first digits of the content's hash."""
        from mlflow.entities import Dataset, DatasetInput

        digest = record.tags.get("dataset_hash")
        if digest:
            kind = record.params["dataset.type"]
            source = record.params.get("dataset.path", kind)
            used = Dataset(kind, digest[:8], "local", json.dumps({"uri": source}))
            self.client.log_inputs(run_id, [DatasetInput(used)])

    def log_table(self, run_id: str, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Log a table, which MLflow shows as one."""
        with self.errors():
            self.client.log_table(run_id, {key: list(values) for key, values in columns.items()}, f"{name}.json")

    def close(self, run_id: str, status: str, ended: int | None = None) -> None:
        """Set the final status: FINISHED, FAILED or KILLED."""
        with self.errors():
            self.client.set_terminated(run_id, status, ended)

    def reap(self) -> int:
        """Set runs of processes that died without a word on this machine to KILLED; return how many."""
        host = process_tags()["process.host"]
        with self.errors():
            running = self.client.search_runs(
                [self._experiment], f"attributes.status = 'RUNNING' and tags.`process.host` = '{host}'"
            )
            dead = [run for run in running if not _alive(run.data.tags)]
            for run in dead:
                self.client.set_terminated(run.info.run_id, "KILLED")
        return len(dead)

    @contextlib.contextmanager
    def errors(self, *, of_record: bool = False) -> Iterator[None]:
        """Turn what MLflow raises into a `TrackingError`."""
        try:
            yield
        except Exception as error:
            reason = str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__
            if of_record and getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
                raise RecordRefusedError(f"MLflow at {self.uri} refuses a record: {reason}") from error
            raise TrackingError(f"MLflow at {self.uri} cannot be used: {reason}") from error


def metric_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a name that MLflow takes for each key; different keys get different names."""
    names: dict[str, str] = {}
    for key in sorted(dict.fromkeys(keys), key=lambda one: bool(_UNUSABLE.search(one))):
        base = name = _UNUSABLE.sub("_", key)[:_LONGEST]
        number = 1
        taken = set(names.values())
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        names[key] = name
    return names


def process_tags() -> dict[str, str]:
    """Return tags by which a later process can tell whether this one still lives."""
    return {
        "process.host": socket.gethostname(),
        "process.id": str(os.getpid()),
        "process.started": _started(os.getpid()),
    }


def _alive(tags: Mapping[str, str]) -> bool:
    started = _started(int(tags["process.id"]))
    return bool(started) and started == tags.get("process.started")


def _started(pid: int) -> str:
    """Return boot id and start time of a process, or an empty string if there is no such process."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except OSError:
        return ""
