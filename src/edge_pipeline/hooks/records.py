"""What is logged of a training and of a target: parameters, metrics, tags and files of one MLflow run."""

import io
import json
import math
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_pipeline.core.types import Artifact, Failure, Profile, Target, Validation
from edge_pipeline.pipelines.compare.differences import Difference, differences_table
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.gates import unmet
from edge_pipeline.pipelines.validate.outputs import OUTPUTS

PACKAGES = (
    "edge-pipeline",
    "kedro",
    "torch",
    "aimet-torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-qnn",
    "litert-torch",
    "ai-edge-litert",
    "numpy",
)


@dataclass(frozen=True)
class RunRecord:
    """One MLflow run, complete: it can be logged now or later. Times in milliseconds since 1970.

    `metrics` are (key, value, step); `tables` are columns by name; `files` are contents by path.
    """

    name: str
    experiment: str
    status: str
    started: int
    ended: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: tuple[tuple[str, float, int], ...] = ()
    tables: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    run_id: str | None = None

    def with_table(self, name: str, columns: Mapping[str, list[Any]]) -> "RunRecord":
        """Return a copy with one more table."""
        return replace(self, tables={**self.tables, name: columns})


@dataclass(frozen=True)
class Times:
    """When a run began and ended, in milliseconds since 1970."""

    started: int
    ended: int


def training_record(
    model: str, project: Project, shared_tags: Mapping[str, str], weights: Artifact | Failure | None, times: Times
) -> RunRecord:
    """Return the run of a fine-tuning: its curves, and its weights' manifest."""
    record = RunRecord(
        f"{model}/training",
        project.tracking.experiment,
        "FAILED" if isinstance(weights, Failure) else "FINISHED",
        times.started,
        times.ended,
        model_params(model, project),
        {**shared_tags, "kind": "training", "model": model, **_generated(model, project), **_failure_tags([weights])},
    )
    if not isinstance(weights, Artifact):
        return record
    curves = [
        (key, float(value), epoch)
        for epoch, entry in enumerate(weights.details["history"], start=1)
        for key, value in entry.items()
    ]
    totals = {**weights.details["metrics"], "best_epoch": weights.details["best_epoch"]}
    return replace(
        record,
        tags={**record.tags, "dataset_hash": weights.parents["dataset"], "weights_hash": weights.hash},
        metrics=(*curves, *_finite(totals)),
        files={"weights/manifest.json": _json(weights.manifest()), **_under("weights", weights.files)},
    )


def sensitivity_name(owner: str) -> str:
    """Return the name of the run of a sensitivity report: `yolov8_det.w8a8` becomes `yolov8_det/sensitivity/w8a8`."""
    model, _, precision = owner.partition(".")
    return f"{model}/sensitivity/{precision}"


def sensitivity_record(
    owner: str, project: Project, shared_tags: Mapping[str, str], report: Artifact | Failure, times: Times
) -> RunRecord:
    """Return the run of a sensitivity report: its table, chart and overrides."""
    model, _, precision = owner.partition(".")
    failed = isinstance(report, Failure)
    files: Mapping[str, bytes] = {} if isinstance(report, Failure) else report.files
    tables: dict[str, dict[str, list[Any]]] = {}
    if isinstance(report, Artifact):
        import pandas as pd

        table = pd.read_csv(io.BytesIO(report.files["sensitivity.csv"]))
        tables["sensitivity"] = {str(name): table[name].tolist() for name in table.columns}
    return RunRecord(
        sensitivity_name(owner),
        project.tracking.experiment,
        "FAILED" if failed else "FINISHED",
        times.started,
        times.ended,
        {**model_params(model, project), "precision": precision},
        {**shared_tags, "kind": "sensitivity", "model": model, **_generated(model, project), **_failure_tags([report])},
        files=files,
        tables=tables,
    )


def comparison_record(
    model: str,
    project: Project,
    shared_tags: Mapping[str, str],
    table: Any,
    differences: Sequence[Difference],
    times: Times,
) -> RunRecord:
    """Return the run of a comparison of all targets of a model: the data frame `table`, differences, and a chart."""
    from edge_pipeline.pipelines.compare.figure import comparison_figure

    figure = comparison_figure(table)
    beyond = sum(one.beyond for one in differences)
    metrics: dict[str, float] = {"pairs": len(differences), "pairs_beyond_tolerance": beyond}
    if differences:
        metrics["least_sqnr_db"] = min(one.sqnr_db for one in differences)
    return RunRecord(
        f"{model}/comparison",
        project.tracking.experiment,
        "FINISHED",
        times.started,
        times.ended,
        {"model": model},
        {**shared_tags, "kind": "comparison", "model": model, **_generated(model, project)},
        _finite(metrics),
        {
            "comparison": table.to_dict("list"),
            "differences": differences_table(differences).to_dict("list"),
        },
        {"comparison.png": _png(figure)} if figure else {},
    )


def target_record(
    target: Target,
    project: Project,
    shared_tags: Mapping[str, str],
    results: Mapping[str, Any],
    times: Times,
) -> RunRecord:
    """Return the run of a target.

    Args:
        target: which.
        project: the configuration.
        shared_tags: tags of all runs of this `kedro run`.
        results: `exported`, `compiled`, `profile`, `validation`; a `Failure` or nothing where there is none.
        times: of the run.
    """
    exported, compiled = results.get("exported"), results.get("compiled")
    profile, validation = results.get("profile"), results.get("validation")
    failures = _failure_tags(results.values())
    tags = {**shared_tags, "kind": "target", "model": target.model, **_generated(target.model, project), **failures}
    metrics: dict[str, float] = {}
    files: dict[str, bytes] = {}
    tables: dict[str, dict[str, list[Any]]] = {}
    if isinstance(exported, Artifact):
        files["onnx/model.onnx"] = exported.files["model.onnx"]
        metrics["export_sqnr_db"] = exported.details["onnx_vs_source_sqnr_db"]
        metrics["export_max_difference"] = exported.details["onnx_vs_source_max_difference"]
        tags["dataset_hash"] = exported.parents["dataset"]
        tags["weights_hash"] = exported.parents["weights"]
        quantization = exported.details.get("quantization", {})
        if quantization:
            files["quantization.json"] = _json(quantization)
            layers = len(quantization.get("layout", {}).get("overrides", ()))
            more = [f"overrides of {layers} layer{'s' * (layers > 1)}"] if layers else []
            tags["techniques"] = ", ".join([*quantization.get("techniques", ()), *more]) or "calibration only"
        if quantization.get("warnings"):
            tags["calibration_warnings"] = "; ".join(quantization["warnings"])
        tables |= _ladder_table(quantization.get("ladder", ()))
    if isinstance(compiled, Artifact):
        files |= {"compiled/manifest.json": _json(compiled.manifest()), **_under("compiled", compiled.files)}
        tags["artifact_hash"] = compiled.hash
        metrics["size_mb"] = compiled.size_bytes / 1e6
        tables |= _optimization_table(compiled.details.get("optimizations", ()))
    if isinstance(profile, Profile):
        profile = replace(profile, metrics={key: value for key, value, _ in _finite(profile.metrics)})
        metrics |= profile.metrics
        files["profile.json"] = _json(asdict(profile))
        if any(repeat.samples_ms for repeat in profile.repeats):
            files["latency.png"] = _latency_png(profile)
        if any("sustained" in repeat.readings for repeat in profile.repeats):
            files["sustained.png"] = _sustained_png(profile)
        if profile.layers:
            files["placement.png"] = _placement_png(profile)
            tables["placement"] = _placement_table(profile)
        gate = unmet(profile, target.runtime, project.models[target.model].targets.require)
        if gate:
            tags["gate"] = gate[:4000]
        tags |= {f"device.{key}": value for key, value in profile.device.items()}
        tags |= {"runtime_version": profile.runtime_version, "threads": str(profile.threads)}
        if profile.warnings:
            tags["warnings"] = "; ".join(profile.warnings)
    if isinstance(validation, Validation):
        validation = replace(validation, metrics={key: value for key, value, _ in _finite(validation.metrics)})
        metrics |= validation.metrics
        files["validation.json"] = _json(asdict(validation))
        if validation.details.get("unverified"):
            tags["unverified"] = validation.details["unverified"]
        else:
            files["quality.png"] = _quality_png(validation)
    predictions = results.get("predictions")
    if isinstance(predictions, Artifact):
        files |= {name: content for name, content in predictions.files.items() if name != OUTPUTS}
    return RunRecord(
        target.name,
        project.tracking.experiment,
        "FAILED" if failures else "FINISHED",
        times.started,
        times.ended,
        target_params(target, project),
        tags,
        _finite(metrics),
        tables=tables,
        files=files,
    )


def _ladder_table(attempts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Return what automatic quantization tried, one row a step, as a table of that name."""
    columns = ("rung", "metric", "sqnr_db", "seconds", "met", "kept", "note")
    return {"ladder": {key: [one[key] for one in attempts] for key in columns}} if attempts else {}


def _optimization_table(passes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Return what the graph passes did, one row a pass, as a table of that name."""
    if not passes:
        return {}
    columns = [key for key in passes[0] if key != "changes"]
    table = {key: [one[key] for one in passes] for key in columns}
    return {"optimizations": {**table, "changes": ["; ".join(one["changes"])[:2000] for one in passes]}}


def model_params(model: str, project: Project) -> dict[str, str]:
    """Return the model's recipe, task, dataset, and every typed parameter, flattened with dots."""
    spec = project.models[model]
    return {
        "model": model,
        **_flat("", spec.model_dump(mode="json", exclude={"targets", "default"})),
        **_flat("", project.parameters[model].model_dump(mode="json", by_alias=True)),
    }


def target_params(target: Target, project: Project) -> dict[str, str]:
    """Return `model_params` with device, runtime and precision, which the Compare page draws as axes."""
    return {
        **model_params(target.model, project),
        "device": target.device,
        "runtime": target.runtime.value,
        "precision": target.precision.value,
    }


def shared_tags(root: Path, group: str) -> dict[str, str]:
    """Return what all runs of one `kedro run` have in common: group, command, git commit, versions."""
    tags = {
        "run_group": group,
        "mlflow.source.name": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:500],
        "mlflow.source.type": "LOCAL",
        "version.python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        tags["mlflow.source.git.commit"] = commit
        tags["git_dirty"] = str(bool(_git(root, "status", "--porcelain"))).lower()
    return tags


def _generated(model: str, project: Project) -> dict[str, str]:
    """Return a tag that says so if the model's images are made up."""
    return {"dataset_generated": "true"} if project.models[model].dataset.generated else {}


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _failure_tags(results: Any) -> dict[str, str]:
    messages = [f"{one.stage} failed: {one.message}" for one in results if isinstance(one, Failure)]
    return {"failure": "; ".join(dict.fromkeys(messages))[:4000]} if messages else {}


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {k: v for key, one in value.items() for k, v in _flat(f"{prefix}.{key}" if prefix else key, one).items()}
    return {prefix: json.dumps(value) if isinstance(value, list) else str(value)}


def _finite(metrics: Mapping[str, float]) -> tuple[tuple[str, float, int], ...]:
    return tuple((key, float(value), 0) for key, value in metrics.items() if math.isfinite(value))


def _under(folder: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode()


def _latency_png(profile: Profile) -> bytes:
    from edge_pipeline.pipelines.scorecard.figures import latency_figure

    return _png(latency_figure([profile]))


def _sustained_png(profile: Profile) -> bytes:
    from edge_pipeline.pipelines.scorecard.figures import sustained_figure

    return _png(sustained_figure(profile))


def _placement_png(profile: Profile) -> bytes:
    from edge_pipeline.pipelines.scorecard.figures import placement_figure

    return _png(placement_figure([profile]))


def _placement_table(profile: Profile) -> dict[str, list[Any]]:
    """Return where each layer runs, one row a layer; the share of time where times are known; cycles where counted."""
    total = sum(layer.time_ms or 0.0 for layer in profile.layers)
    cycles = [layer.cycles for layer in profile.layers]
    return {
        "layer": [layer.name for layer in profile.layers],
        "type": [layer.type for layer in profile.layers],
        "compute_unit": [layer.compute_unit for layer in profile.layers],
        "fused": [layer.fused for layer in profile.layers],
        "time_ms": [layer.time_ms for layer in profile.layers],
        "share_pct": [100 * layer.time_ms / total if layer.time_ms and total else None for layer in profile.layers],
        **({"cycles": cycles} if any(one is not None for one in cycles) else {}),
    }


def _quality_png(validation: Validation) -> bytes:
    from edge_pipeline.pipelines.scorecard.nodes import quality
    from edge_pipeline.tasks.figures import quality_figure

    return _png(quality_figure([quality(validation)], validation.classes, validation.task))


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
