"""What was measured of a model, now or before: shared by the commands that compare and judge."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from edge_pipeline.core.types import Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.config import Project

LARGEST = 2**28
"""Bytes of a file of an MLflow run that are read."""


@dataclass(frozen=True)
class Measured:
    """A model and what is on disk of its targets.

    Attributes:
        project: the configuration.
        model: its name.
        found: its targets.
        run: the command that measures them.
        catalog: Kedro's catalog of the project.
    """

    project: Project
    model: str
    found: list[TargetResults]
    run: str
    catalog: Any

    @property
    def spec(self) -> ModelSpec:
        """The model's entry."""
        return self.project.models[self.model]

    @property
    def own(self) -> list[str]:
        """Names of the user's metrics that were measured."""
        from edge_pipeline.pipelines.compare.table import own_metrics

        return own_metrics(self.found)


@dataclass(frozen=True)
class Earlier:
    """What a model is compared with.

    Attributes:
        name: how it is called.
        found: what was measured of its targets.
        release: if it is one, from the registry.
        notice: what must be said of it.
    """

    name: str
    found: list[TargetResults]
    release: Any = None
    notice: str = ""


def measured(metadata: Any, model: str, env: str | None) -> Measured:
    """Read what is on disk of a model.

    Raises:
        ClickException: there is no such model.
    """
    from kedro.framework.session import KedroSession

    from edge_pipeline.core.errors import suggest
    from edge_pipeline.pipeline_registry import load_project
    from edge_pipeline.pipelines.compare.results import read

    session: Any = KedroSession.create(metadata.project_path, save_on_close=False, env=env)
    catalog = session.load_context().catalog
    project = load_project()
    if model not in project.models:
        raise click.ClickException(f"there is no model '{model}' in models.yml; {suggest(model, project.models)}")
    kinds = {name: device.kind for name, device in project.devices.items()}
    found = read(catalog, model, project.targets(model), kinds)
    run = f"kedro run{f' --env {env}' if env else ''} --pipelines {model}"
    return Measured(project, model, found, run, catalog)


def earlier(project: Project, model: str, which: str) -> Earlier | None:
    """Return what `which` names: a release, a folder of results, or the group of one `kedro run` in MLflow.

    Args:
        project: the configuration.
        model: the model.
        which: `champion`, `challenger` or a version of the registry; a folder; or a `run_group`.

    Returns:
        `None` where the registry has no such release.

    Raises:
        ClickException: there is neither such a folder nor such a group.
        StorageError: a folder does not hold what it should.
        TrackingError: MLflow does not answer.
    """
    from edge_pipeline.pipelines.compare.evidence import read_evidence

    if which in ("champion", "challenger") or which.isdigit():
        from edge_pipeline.hooks.registry import Registry

        registry = Registry(project.tracking, project.root)
        release = registry.find(model, which)
        if release is None:
            return None
        name = f"version {release.version}" if which.isdigit() else f"the {which}, version {release.version}"
        return Earlier(name, read_evidence(registry.evidence(release), model), release)
    if Path(which).is_dir():
        return Earlier(which, read_evidence(Path(which), model))
    return _of_group(project, model, which)


def _of_group(project: Project, model: str, group: str) -> Earlier:
    """Return what the target runs of one `kedro run` keep in MLflow."""
    from edge_pipeline.hooks.store import Store, tracking_uri

    store = Store(tracking_uri(project.tracking, project.root), project.tracking.experiment, project.root)
    with store.errors():
        ids = [one.experiment_id for one in store.client.search_experiments()]
        clean = group.replace("'", "")
        named = f"tags.run_group = '{clean}' and tags.model = '{model}' and tags.kind = 'target'"
        runs = store.client.search_runs(ids, filter_string=named, max_results=1000)
    if not runs:
        raise click.ClickException(
            f"there is nothing to compare with: '{group}' is neither `champion`, `challenger` nor a version of the "
            f"registry, nor a folder of results, nor the tag run_group of a run of {model} in {store.uri}"
        )
    newest: dict[str, Any] = {}
    for run in runs:
        newest.setdefault(run.info.run_name, run)
    found = [_of_run(store, model, run) for run in newest.values()]
    kept = sum(one.predictions is not None for one in found)
    notice = (
        ""
        if kept == len(found)
        else (
            f"MLflow has the outcomes of single test images of {kept} of {len(found)} targets; of the others metrics "
            "are compared without an interval"
        )
    )
    return Earlier(f"the run group {group}", found, None, notice)


def _of_run(store: Any, model: str, run: Any) -> TargetResults:
    from pydantic import TypeAdapter, ValidationError

    from edge_pipeline.core.types import Artifact
    from edge_pipeline.pipelines.compare.evidence import joined
    from edge_pipeline.pipelines.validate.outputs import OUTCOMES

    params: Mapping[str, str] = run.data.params
    try:
        target = Target(model, params["device"], RuntimeName(params["runtime"]), Precision(params["precision"]))
    except (KeyError, ValueError) as error:
        raise click.ClickException(f"the MLflow run {run.info.run_name} is of no target: {error}") from error
    made: dict[str, Any] = {}
    problems = [f"failed: {run.data.tags['failure']}"] if "failure" in run.data.tags else []
    for name, kind in (("profile", Profile), ("validation", Validation)):
        content = _file(store, run, f"{name}.json")
        if content is None:
            problems.append(f"{name}: not among the files of its MLflow run")
            continue
        try:
            made[name] = TypeAdapter(kind).validate_python(json.loads(content))
        except (ValueError, ValidationError) as error:
            problems.append(f"{name}: its file in MLflow is damaged ({error})")
    outcomes = _file(store, run, OUTCOMES)
    if outcomes is not None and "validation" in made:
        made["predictions"] = Artifact("predictions", {OUTCOMES: outcomes}, made["validation"].lineage)
    return joined(target, run.data.tags.get("device.kind", ""), made, problems)


def _file(store: Any, run: Any, name: str) -> bytes | None:
    """Return a file of a run, `None` where there is none."""
    with store.errors():
        sizes = {one.path: one.file_size or 0 for one in store.client.list_artifacts(run.info.run_id)}
        if name not in sizes or sizes[name] > LARGEST:
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(store.client.download_artifacts(run.info.run_id, name, folder)).read_bytes()
