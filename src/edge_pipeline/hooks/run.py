"""One `kedro run` from its lock to its last line."""

import atexit
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from edge_pipeline.core import progress
from edge_pipeline.core.errors import EdgePipelineError, TargetsFailedError
from edge_pipeline.core.files import remove_temporaries
from edge_pipeline.core.types import Artifact, Failure, Profile, Target, Validation
from edge_pipeline.hooks import preflight, records
from edge_pipeline.hooks.group import run_group
from edge_pipeline.hooks.lock import ProjectLock
from edge_pipeline.hooks.progress import ProgressBars
from edge_pipeline.hooks.stale import discard_stale
from edge_pipeline.hooks.summary import print_ladder, print_scorecard
from edge_pipeline.hooks.tracking import Tracker
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.gates import unmet

KINDS = ("exported", "compiled", "profile", "validation", "predictions")


class Run:
    """State of one run: what was made, what failed, which MLflow runs are open."""

    def __init__(self, project: Project, pipeline: Any, catalog: Any, *, only_missing: bool) -> None:
        self._project, self._catalog = project, catalog
        self._outputs = outputs = set(pipeline.all_outputs())
        self._scorecards = [model for model in project.models if f"{model}.scorecard" in outputs]
        self._trainings = [model for model in project.models if f"{model}.weights" in outputs]
        self._reports = {name.removesuffix(".sensitivity") for name in outputs if name.endswith(".sensitivity")}
        self._targets = {
            f"{target.model}.{target.slug}": target
            for model in project.models
            for target in project.targets(model)
            if any(f"{model}.{target.slug}.{kind}" in outputs for kind in KINDS)
        }
        preflight.check(project, outputs, self._targets.values())
        self._results: dict[str, Any] = {}
        self._failures: dict[tuple[str, str], Failure] = {}
        self._gates: dict[str, str] = {}
        self._logged: set[str] = set()
        self._guard = threading.RLock()
        self.group = run_group()
        self._lock = ProjectLock(project.root)
        self._lock.take()
        remove_temporaries(project.root / "data")
        if only_missing:
            for model in {node.namespace.split(".")[0] for node in pipeline.nodes if node.namespace}:
                if model in project.models:
                    discard_stale(catalog, model, project.targets(model))
        self._tags = records.shared_tags(project.root, self.group)
        self._console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200)
        logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
        self._tracker = Tracker(project.tracking, project.root)
        if self._tracker.problem:
            self._console.print(
                f"[yellow]Warning:[/] {self._tracker.problem}. The run goes on; its results are kept on disk.",
                highlight=False,
            )
        self._bars = ProgressBars(self._console, len(pipeline.nodes))
        progress.listeners[:] = [self._bars, _Epochs(self._tracker)]
        self._terminate = _on_sigterm()
        atexit.register(self.abandon, "KILLED")

    def node_started(self, node: Any) -> None:
        """Open the MLflow run that `node` belongs to."""
        self._bars.stage_started(node.name)
        for name in node.outputs:
            owner, _, kind = name.rpartition(".")
            if kind == "weights":
                params = records.model_params(owner, self._project)
                tags = {**self._tags, "kind": "training", "model": owner}
                self._tracker.begin(f"{owner}/training", params, tags)
            elif kind == "sensitivity":
                model, _, precision = owner.partition(".")
                params = {**records.model_params(model, self._project), "precision": precision}
                tags = {**self._tags, "kind": "sensitivity", "model": model}
                self._tracker.begin(records.sensitivity_name(owner), params, tags)
            elif owner in self._targets:
                target = self._targets[owner]
                tags = {**self._tags, "kind": "target", "model": target.model}
                self._tracker.begin(target.name, records.target_params(target, self._project), tags)

    def node_ended(self, node: Any, outputs: dict[str, Any]) -> None:
        """Keep the results of `node`; log the MLflow run that is complete with them."""
        self._bars.stage_ended(node.name)
        with self._guard:
            for name, value in outputs.items():
                self._results[name] = value
                if isinstance(value, Failure):
                    self._failures[value.stage, value.subject] = value
                owner, _, kind = name.rpartition(".")
                if kind == "weights":
                    self._log_training(owner)
                elif kind == "sensitivity":
                    self._log_sensitivity(owner)
                elif owner in self._targets and all(f"{owner}.{k}" in self._results for k in KINDS[2:]):
                    self._log_target(owner)

    def finish(self) -> None:
        """Log what was skipped or is partial, print the scorecards, report failures.

        Raises:
            TargetsFailedError: names every target that failed, and why.
            TrackingError: MLflow could not be used.
        """
        for model in self._trainings:
            self._log_training(model)
        for owner in self._targets:
            self._log_target(owner)
        for owner in self._reports:
            self._log_sensitivity(owner)
        tables = {model: self._load(f"{model}.scorecard") for model in self._scorecards}
        tables = {model: table.astype(object).where(table.notna(), None) for model, table in tables.items()}
        for model, table in tables.items():
            self._tracker.table(model, "scorecard", table.to_dict("list"))
        self._close()
        for name, steps in self._ladders():
            print_ladder(self._console, name, steps)
        for table in tables.values():
            print_scorecard(self._console, table)
        self._console.print(
            f"Results: {self._project.root / 'data' / '08_reporting'}   MLflow: {self._tracker.uri} "
            f"(run_group {self.group}; `kedro edge ui` opens it)",
            highlight=False,
            soft_wrap=True,
        )
        tracking_problem = None
        try:
            self._tracker.finish()
        except EdgePipelineError as error:
            tracking_problem = error
        problems = [f"{one.subject}: {one.stage} failed: {one.message}" for one in self._failures.values()]
        problems += [f"{name}: a requirement is not met: {why}" for name, why in self._gates.items()]
        if problems:
            lines = "\n".join(f"  - {one}" for one in problems)
            more = f"\n{tracking_problem}" if tracking_problem else ""
            raise TargetsFailedError(f"not everything could be made; the rest was finished:\n{lines}{more}")
        if tracking_problem:
            raise tracking_problem

    def abandon(self, status: str) -> None:
        """Close the open MLflow runs as `status`."""
        self._tracker.abandon(status)
        self._close()

    def _close(self) -> None:
        atexit.unregister(self.abandon)
        progress.listeners.clear()
        self._bars.close()
        self._terminate.close()
        self._lock.release()

    def _log_training(self, model: str) -> None:
        name = f"{model}/training"
        if name in self._logged:
            return
        weights = self._load(f"{model}.weights")
        if weights is None:
            return
        self._logged.add(name)
        times = self._tracker.times(name)
        self._tracker.complete(records.training_record(model, self._project, self._tags, weights, times))

    def _log_target(self, owner: str) -> None:
        target = self._targets[owner]
        if owner in self._logged:
            return
        self._logged.add(owner)
        results = self._gather(target)
        if not results:
            return
        profile, require = results.get("profile"), self._project.models[target.model].targets.require
        gate = unmet(profile, target.runtime, require) if isinstance(profile, Profile) else ""
        if gate:
            self._gates[target.name] = gate
        times = self._tracker.times(target.name)
        self._tracker.complete(records.target_record(target, self._project, self._tags, results, times))
        for kind in KINDS[1:]:
            self._results.pop(f"{owner}.{kind}", None)

    def _log_sensitivity(self, owner: str) -> None:
        name = records.sensitivity_name(owner)
        found = None if name in self._logged else self._load(f"{owner}.sensitivity")
        if found is not None:
            self._logged.add(name)
            times = self._tracker.times(name)
            self._tracker.complete(records.sensitivity_record(owner, self._project, self._tags, found, times))

    def _ladders(self) -> Iterator[tuple[str, Any]]:
        """Yield the steps of each automatic quantization of this run."""
        for owner in sorted(
            {name.removesuffix(".simulation") for name in self._outputs if name.endswith(".simulation")}
        ):
            made = self._load(f"{owner}.simulation")
            if isinstance(made, Artifact) and made.details.get("ladder"):
                yield owner.replace(".", "/"), made.details["ladder"]

    def _gather(self, target: Target) -> dict[str, Any]:
        """Return the results of `target` that belong together; those of older artifacts are left out."""
        owner = f"{target.model}.{target.slug}"
        found = {kind: self._load(f"{owner}.{kind}") for kind in KINDS[1:]}
        found["exported"] = self._load(f"{target.model}.{target.precision}.exported")
        compiled = found["compiled"]
        made = {kind: one for kind, one in found.items() if one is not None}
        if isinstance(compiled, Artifact):
            for kind in ("profile", "validation"):
                one = made.get(kind)
                if isinstance(one, Profile | Validation) and one.artifact != compiled.hash:
                    del made[kind]
            drawn = made.get("predictions")
            if isinstance(drawn, Artifact) and drawn.parents.get("compiled") != compiled.hash:
                del made["predictions"]
        return made

    def _load(self, name: str) -> Any:
        if name in self._results:
            return self._results[name]
        return self._catalog.load(name) if self._catalog.exists(name) else None


class _Epochs:
    """Passes the metrics of every epoch to the tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def started(self, step: str, total: int) -> None:
        """Not of interest here."""

    def advanced(self, step: str, done: int, note: str) -> None:
        """Not of interest here."""

    def entered(self, step: str, state: str) -> None:
        """Not of interest here."""

    def ended(self, step: str) -> None:
        """Not of interest here."""

    def measured(self, step: str, index: int, metrics: Any) -> None:
        """Log an epoch of the step `model: fine-tune`."""
        self._tracker.epoch(f"{step.split(':')[0]}/training", index, metrics)


def _on_sigterm() -> contextlib.ExitStack:
    """Let SIGTERM end the process in an orderly way, so that open runs are closed; return what undoes it."""
    stack = contextlib.ExitStack()
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        stack.callback(signal.signal, signal.SIGTERM, previous)
    return stack
