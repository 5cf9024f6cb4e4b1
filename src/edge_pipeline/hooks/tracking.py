"""The MLflow runs of one `kedro run`: opened when their first stage starts, closed whatever happens."""

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import RecordRefusedError, StorageError, TrackingError
from edge_pipeline.hooks import outbox
from edge_pipeline.hooks.records import RunRecord, Times
from edge_pipeline.hooks.store import Store, tracking_uri
from edge_pipeline.pipelines.config import TrackingSpec


class Tracker:
    """Logs records; when MLflow cannot be used, keeps them in the outbox instead and says so at the end."""

    def __init__(self, settings: TrackingSpec, root: Path) -> None:
        self._root = root
        self._lock = threading.RLock()
        self._open: dict[str, tuple[str | None, int]] = {}
        self._steps: dict[str, int] = {}
        self._sent: list[RunRecord] = []
        self._unsent: list[RunRecord] = []
        self.problem: TrackingError | None = None
        self.uri = tracking_uri(settings, root)
        self._store: Store | None = None
        try:
            self._store = Store(self.uri, settings.experiment, root)
            self._store.reap()
        except TrackingError as error:
            self._fail(error)

    def begin(self, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Open the run `name`, if it is not open."""
        with self._lock:
            if name in self._open:
                return
            started, run_id = _now(), None
            if self._store:
                try:
                    run_id = self._store.begin(name, params, tags, started)
                except TrackingError as error:
                    self._fail(error)
            self._open[name] = (run_id, started)

    def epoch(self, name: str, index: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of one epoch while the training goes on."""
        with self._lock:
            run_id, _ = self._open.get(name, (None, 0))
            if not self._store or not run_id:
                return
            try:
                self._store.log_metrics(run_id, metrics, index)
                self._steps[name] = index
            except TrackingError as error:
                self._fail(error)

    def times(self, name: str) -> Times:
        """Return when the run `name` was opened, and now."""
        with self._lock:
            now = _now()
            return Times(self._open.get(name, (None, now))[1], now)

    def complete(self, record: RunRecord) -> None:
        """Log everything of a run and close it."""
        with self._lock:
            run_id, _ = self._open.pop(record.name, (None, 0))
            record = replace(record, run_id=run_id)
            if self._store:
                try:
                    run_id = self._store.complete(record, self._steps.get(record.name, 0))
                    self._sent.append(replace(record, run_id=run_id, files={}, metrics=()))
                    return
                except TrackingError as error:
                    self._fail(error)
                    self._close_refused(record)
            self._unsent.append(record)

    def table(self, model: str, name: str, columns: Mapping[str, list[Any]]) -> None:
        """Add a table to all completed runs of `model`."""
        with self._lock:
            self._unsent = [
                record.with_table(name, columns) if record.tags["model"] == model else record for record in self._unsent
            ]
            for record in self._sent:
                if record.tags["model"] != model or not record.run_id:
                    continue
                try:
                    if self._store:
                        self._store.log_table(record.run_id, name, columns)
                        continue
                except TrackingError as error:
                    self._fail(error)
                self._unsent.append(record.with_table(name, columns))

    def finish(self) -> None:
        """Keep in the outbox what MLflow did not take.

        Raises:
            TrackingError: there was such a record.
        """
        with self._lock:
            if self.problem is None:
                return
            waiting = self._keep_unsent()
            raise TrackingError(
                f"{self.problem}. All results are on disk; {waiting} runs wait in "
                f"{outbox.folder(self._root)}. When MLflow answers again, run `kedro edge track --resend`."
            )

    def abandon(self, status: str) -> None:
        """Close all open runs as FAILED or KILLED; keep in the outbox what MLflow did not take."""
        with self._lock:
            for run_id, _ in self._open.values():
                if self._store and run_id:
                    try:
                        self._store.close(run_id, status)
                    except TrackingError as error:
                        self._fail(error)
            self._open.clear()
            with contextlib.suppress(StorageError):
                self._keep_unsent()

    def _keep_unsent(self) -> int:
        for record in self._unsent:
            outbox.put(self._root, record)
        kept = len(self._unsent)
        self._unsent.clear()
        return kept

    def _close_refused(self, record: RunRecord) -> None:
        if self._store and record.run_id:
            try:
                self._store.close(record.run_id, "FAILED")
            except TrackingError as error:
                self._fail(error)

    def _fail(self, error: TrackingError) -> None:
        """Remember `error`; stop asking a server that does not answer, which costs a time-out each time."""
        self.problem = error
        if not isinstance(error, RecordRefusedError):
            self._store = None


def _now() -> int:
    return int(time.time() * 1000)
