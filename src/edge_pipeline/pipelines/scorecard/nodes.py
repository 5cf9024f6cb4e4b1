"""Put all targets of a model side by side."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from edge_pipeline.core.types import Artifact, Failure, Profile, Target, Validation
from edge_pipeline.models.spec import ModelSpec, Require
from edge_pipeline.pipelines.gates import unmet

MEASURED = (
    "accuracy",
    "accuracy_vs_float",
    "latency_p50_ms",
    "latency_p99_ms",
    "first_inference_ms",
    "load_ms",
    "peak_memory_mb",
    "energy_mj",
    "size_mb",
    "npu_layers_pct",
    "sqnr_float_db",
    "sqnr_sim_db",
)
"""Columns of numbers; a number that was not measured is missing, never 0."""

OF_TASK = {
    "detection": ("map50",),
    "instance_segmentation": ("mask_map50",),
    "semantic_segmentation": ("pixel_accuracy",),
}
"""Metrics of a task that people compare beside the headline; the user's own metrics join them."""

OF_NETWORK = ("parameters", "multiply_adds")
"""Columns that say how large the float network is; the same number for every target."""

Result = Profile | Validation | Failure | None


def scorecard(
    weights: Artifact | Failure, *results: Result, spec: ModelSpec, targets: Sequence[Target]
) -> tuple[Any, Any, Any, Any]:
    """Return the table (a data frame), and as figures the quality by class, latencies and placement of all targets.

    Args:
        weights: the present network. Results made from another one are left out.
        *results: profile and validation of each target, in the order of `targets`; `None` if never made.
        spec: the model.
        targets: all targets of the model.
    """
    import pandas as pd

    from edge_pipeline.pipelines.scorecard.figures import latency_figure, placement_figure
    from edge_pipeline.tasks.figures import quality_figure

    pairs = [_current(weights, results[2 * i : 2 * i + 2]) for i in range(len(targets))]
    found = [result for pair in pairs for result in pair]
    validations = [result for result in found if isinstance(result, Validation)]
    profiles = [result for result in found if isinstance(result, Profile)]
    verified = [result for result in validations if not result.details.get("unverified")]
    own = [key for one in validations for key in one.details.get("own_metrics", ())]
    numbers = tuple(dict.fromkeys((*MEASURED, *OF_TASK.get(spec.task, ()), *own)))
    require = spec.targets.require
    rows = [row(target, pair, numbers, require) for target, pair in zip(targets, pairs, strict=True) if any(pair)]
    add_comparisons(rows)
    network = {} if isinstance(weights, Failure) else weights.details
    for one in rows:
        one |= {key: network.get(key) for key in OF_NETWORK}
        one["dataset"] = f"{spec.dataset.type}{' (generated)' if spec.dataset.generated else ''}"
    columns = [
        "target",
        "device",
        "runtime",
        "precision",
        *numbers,
        *OF_NETWORK,
        "pareto",
        "status",
        "warnings",
        "dataset",
    ]
    classes = validations[0].classes if validations else ()
    return (
        pd.DataFrame(rows, columns=columns),
        quality_figure([quality(one) for one in verified], classes, spec.task),
        latency_figure(profiles),
        placement_figure(profiles),
    )


def quality(validation: Validation) -> tuple[str, Mapping[str, float], Mapping[str, Any]]:
    """Return name, metrics and details of a target as they are drawn; of a custom task the user's metrics alone."""
    own = validation.details.get("own_metrics", ())
    metrics = {key: validation.metrics[key] for key in own} if validation.task == "custom" else validation.metrics
    return validation.target, metrics, validation.details


def row(
    target: Target,
    results: Iterable[Result],
    numbers: Collection[str] = MEASURED,
    require: Require | None = None,
) -> dict[str, Any]:
    """Return one line of the table, with those of the results' metrics that `numbers` names."""
    found: dict[str, Any] = {
        "target": target.name,
        "device": target.device,
        "runtime": target.runtime.value,
        "precision": target.precision.value,
    }
    status: list[str] = []
    warnings: list[str] = []
    for result in results:
        if isinstance(result, Profile):
            found |= {key: value for key, value in result.metrics.items() if key in numbers}
            warnings += result.warnings
            gate = unmet(result, target.runtime, require or Require())
            status += [f"a requirement is not met: {gate}"] if gate else []
        elif isinstance(result, Validation):
            found |= {key: value for key, value in result.metrics.items() if key in numbers}
            warnings += [*_doubts(result), *result.details.get("retries", ())]
            first = result.details.get("diverges_at")
            if first:
                warnings.append(
                    f"the engine leaves the simulation by more than rounding, first at the layer {first['layer']} "
                    f"({first['sqnr_db']:.1f} dB, {first['steps']:.1f} steps)"
                )
        elif isinstance(result, Failure):
            status.append(f"{result.stage} failed: {result.message}")
    return {**found, "status": "; ".join(dict.fromkeys(status)) or "ok", "warnings": "; ".join(warnings)}


def _doubts(validation: Validation) -> list[str]:
    """Return what must be said of metrics that come from an emulator."""
    details, metrics = validation.details, validation.metrics
    if details.get("unverified"):
        return [f"unverified, so there is no accuracy: {details['unverified']}"]
    if validation.samples >= details.get("test_images", 0):
        return []
    interval = ""
    if "accuracy_low" in metrics:
        interval = f", {metrics['accuracy_low']:.2%} to {metrics['accuracy_high']:.2%} with 95% confidence"
    return [f"accuracy on {validation.samples} of {details['test_images']} test images{interval}"]


def add_comparisons(rows: list[dict[str, Any]]) -> None:
    """Add `accuracy_vs_float` (same device and runtime) and `pareto` to each row, in place.

    A target is on the Pareto front of its device when no other target there is at least as good in accuracy, median
    latency and peak memory, and better in one of them.
    """
    floats = {(r["device"], r["runtime"]): r.get("accuracy") for r in rows if r["precision"] == "float"}
    for one in rows:
        reference = floats.get((one["device"], one["runtime"]))
        if reference is not None and one.get("accuracy") is not None:
            one["accuracy_vs_float"] = one["accuracy"] - reference
        mine = _merits(one)
        others = (_merits(r) for r in rows if r["device"] == one["device"])
        one["pareto"] = mine is not None and not any(
            other is not None and other != mine and all(o >= m for o, m in zip(other, mine, strict=True))
            for other in others
        )


def _merits(one: dict[str, Any]) -> tuple[float, ...] | None:
    values = (one.get("accuracy"), one.get("latency_p50_ms"), one.get("peak_memory_mb"))
    if values[0] is None or values[1] is None or values[2] is None:
        return None
    return values[0], -values[1], -values[2]


def _current(weights: Artifact | Failure, pair: Iterable[Result]) -> tuple[Result, ...]:
    if isinstance(weights, Failure):
        return (weights,)
    return tuple(
        result if isinstance(result, Failure) or (result and result.lineage.get("weights") == weights.hash) else None
        for result in pair
    )
