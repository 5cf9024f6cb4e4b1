"""What `kedro edge retrain` works with: the project, its registry and its dataset, behind plain values."""

import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.pipelines.retrain import steps as commands
from edge_pipeline.pipelines.retrain.incoming import Found, Intake, NewSamples
from edge_pipeline.pipelines.retrain.job import GROUP, Job
from edge_pipeline.pipelines.retrain.journal import Journal, now
from edge_pipeline.pipelines.retrain.report import Report
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec
from edge_pipeline.pipelines.retrain.triggers import Trigger

if TYPE_CHECKING:
    from edge_pipeline.cli.measured import Measured
    from edge_pipeline.hooks.registry import Registry, Release

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Workshop:
    """A model and its entry in schedule.yml; everything else is looked at when it is needed."""

    now: "Measured"
    env: str | None
    from_scratch: bool

    @classmethod
    def open(cls, metadata: Any, model: str, env: str | None, from_scratch: bool) -> "Workshop":
        """Read the configuration.

        Raises:
            ClickException: there is no such model.
            ConfigError: lists every problem found.
        """
        from edge_pipeline.cli.measured import measured

        return cls(measured(metadata, model, env), env, from_scratch)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.now.model

    @property
    def project(self) -> Any:
        """The configuration."""
        return self.now.project

    @property
    def spec(self) -> ScheduleSpec:
        """The model's entry in schedule.yml, or one without anything."""
        found: ScheduleSpec = self.project.schedule.get(self.model, ScheduleSpec())
        return found

    @property
    def journal(self) -> Journal:
        """The model's journal."""
        return Journal(self.project.root, self.model)

    @functools.cached_property
    def registry(self) -> "Registry":
        """The registry of releases."""
        from edge_pipeline.hooks.registry import Registry

        return Registry(self.project.tracking, self.project.root)

    @functools.cached_property
    def champion(self) -> "Release | None":
        """The release that is the champion now.

        Raises:
            TrackingError: MLflow does not answer.
        """
        return self.registry.find(self.model, "champion")

    @functools.cached_property
    def samples(self) -> Any:
        """The dataset with what it took in."""
        from edge_pipeline.pipelines.finetune.nodes import open_samples

        return open_samples(self.now.spec)

    @functools.cached_property
    def own(self) -> Any:
        """The dataset that models.yml names."""
        from edge_pipeline.datasets.base import open_own

        model = self.now.spec
        return open_own(model.dataset, model.task, model.image_shape[0])

    @functools.cached_property
    def intake(self) -> Intake | None:
        """Where new samples are kept; `None` if the schedule has none."""
        if not self.spec.new_data:
            return None
        from edge_pipeline.pipelines.config import incoming_folder
        from edge_pipeline.pipelines.retrain.formats import Head, format_of

        model = self.now.spec
        head = Head(self.own.classes, model.task == "instance_segmentation")
        folder = incoming_folder(self.project.root, self.model).parent
        return Intake(self.model, folder, format_of(model.dataset), head, model.image_shape[0])

    def look(self) -> Found:
        """Inspect the watched folder now."""
        assert self.intake and self.spec.new_data
        return self.intake.inspect(self.spec.new_data, self.own)

    @functools.cached_property
    def triggers(self) -> list[Trigger]:
        """The triggers.

        Raises:
            DatasetError: the watched folder is not there.
            RetrainError: too many of the new files are broken.
            TrackingError: MLflow does not answer.
        """
        from edge_pipeline.pipelines.retrain import watch

        spec, found, arrived = self.spec, None, None
        if self.intake and spec.new_data:
            found = self.look()
            arrived = NewSamples(found.good, self.now.spec.image_shape[0])
            if len(found.good) + len(found.broken) >= spec.new_data.min_samples:
                found.require(spec.new_data.min_good_fraction)
        used = self.journal.read().used
        taken = self.intake.taken() if self.intake else {}
        waiting = sum(count for name, count in taken.items() if name not in used)
        age = (time.time() * 1000 - self.champion.created) / DAY_MS if self.champion else None
        catalog, drifting = self.now.catalog, bool(spec.drift)
        return watch.look(
            spec,
            watch.Watched(
                found,
                waiting,
                age,
                self.samples if drifting else None,
                arrived,
                watch.loaded(catalog, f"{self.model}.split", Split) if drifting else None,
                self._compiled() if spec.drift and spec.drift.predictions else None,
            ),
        )

    def job(self) -> Job:
        """Return what is done when a trigger fires."""
        return Job(
            self.project.root,
            self.model,
            self.spec,
            self.env,
            self.journal,
            self.intake,
            self.look,
            self._start,
            click.echo,
        )

    def steps(self) -> list[commands.Step]:
        """Return the steps that would be done."""
        start = (
            [("finetune.checkpoint", "<weights of the champion>")] if self.champion and not self.from_scratch else []
        )
        junit = Path("<folder>/gate.xml")
        return commands.steps(self.model, self.spec, self.env, [*start, *self.spec.parameters.items()], junit)

    def unbegun(self, problem: Exception | None) -> Report:
        """Return the report of a training that could not even begin."""
        again = f"run `kedro edge retrain {self.model}` again when this is repaired"
        return Report(self.model, "", "failed", now(), now(), problem=str(problem), next=again)

    def record(self, report: Report, started: int) -> None:
        """Log the MLflow run MODEL/retrain; it waits on disk if MLflow does not answer.

        Raises:
            TrackingError: it waits.
        """
        import json

        from edge_pipeline.hooks.group import run_group
        from edge_pipeline.hooks.records import RunRecord, model_params, shared_tags
        from edge_pipeline.hooks.tracking import Tracker

        going = self.journal.read().open
        numbers = {**(going.numbers if going else {}), **{f"{name}_s": value for name, value in report.steps.items()}}
        if report.arrived:
            numbers |= {"samples_taken_in": report.arrived["good"], "files_broken": len(report.arrived["broken"])}
        group = os.environ.get(GROUP) or report.run or run_group()
        tags = {**shared_tags(self.project.root, group), "kind": "retrain", "model": self.model}
        tags |= {"outcome": report.outcome} | ({"failure": report.problem[:500]} if report.problem else {})
        record = RunRecord(
            f"{self.model}/retrain",
            self.project.tracking.experiment,
            "FAILED" if report.failed else "FINISHED",
            started,
            int(time.time() * 1000),
            model_params(self.model, self.project),
            tags,
            tuple((key, float(value), 0) for key, value in numbers.items()),
            files={"retrain.md": report.markdown().encode(), "retrain.json": json.dumps(report.facts()).encode()},
        )
        tracker = Tracker(self.project.tracking, self.project.root)
        tracker.complete(record)
        tracker.finish()

    def _start(self, version: int | None) -> str | None:
        """Return the weights of the champion of that version."""
        if version is None or self.from_scratch:
            return None
        from edge_pipeline.hooks.store import Store, tracking_uri
        from edge_pipeline.hooks.weights import weights_of

        settings, root = self.project.tracking, self.project.root
        release = self.registry.find(self.model, str(version))
        if release is None:
            return None
        found = weights_of(
            release, self.now.catalog, Store(tracking_uri(settings, root), settings.experiment, root), root
        )
        click.echo(f"Begins from the weights of {release}: {found or 'its network is not trained'}")
        return found

    def _compiled(self) -> Artifact | None:
        """Return the first target of this machine that was compiled."""
        from edge_pipeline.pipelines.retrain.watch import loaded

        for target in self.project.targets(self.model):
            if self.project.devices[target.device].kind == "host":
                found: Artifact | None = loaded(self.now.catalog, f"{self.model}.{target.slug}.compiled", Artifact)
                if found:
                    return found
        return None
