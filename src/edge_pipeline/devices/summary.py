"""Turn raw measurements into the metrics that every device reports under the same names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.readings import FROM_SENSORS, sensor_metrics, sensor_names, sensor_warnings
from edge_pipeline.devices.settings import ProfileSettings

MEASURED = frozenset(
    {
        "latency_p50_ms",
        "latency_p90_ms",
        "latency_p99_ms",
        "latency_mean_ms",
        "latency_min_ms",
        "latency_spread_pct",
        "inferences",
        "first_inference_ms",
        "load_ms",
        "warm_load_ms",
        "throughput_ips",
        "peak_memory_mb",
        "model_memory_mb",
        "size_mb",
        "npu_layers_pct",
        "fused_layers",
        "compile_s",
        *FROM_SENSORS,
    }
)
"""Names of the metrics of a profile, which no other metric may take."""

BUSY_PCT = 25.0
"""Share of the machine that others may take before the figures come with a warning."""


def summarise(
    target: str,
    artifact: Artifact,
    repeats: Sequence[Repeat],
    layers: Sequence[Layer],
    settings: ProfileSettings,
    device: Mapping[str, str],
    runtime_version: str,
    problems: Sequence[str] = (),
) -> Profile:
    """Return the `Profile`. Latency percentiles are over the samples of all repeats together.

    Loading and first inference are the mean of the repeats, memory is the largest; for what sensors said see
    readings.py. What a device does not tell is left out, and the spread where there is one repeat. `problems` are
    passed on as warnings.
    """
    samples = np.concatenate([repeat.samples_ms for repeat in repeats])
    medians = [float(np.median(repeat.samples_ms)) for repeat in repeats]
    spread = 100 * (max(medians) - min(medians)) / min(medians) if len(repeats) > 1 else None
    first = [repeat.first_inference_ms for repeat in repeats if repeat.first_inference_ms is not None]
    grown = [repeat.peak_memory_mb - repeat.baseline_memory_mb for repeat in repeats]
    told, based = (all(getattr(one, key) > 0 for one in repeats) for key in ("peak_memory_mb", "baseline_memory_mb"))
    on_npu, _ = placement(layers)
    p50, p90, p99 = (float(value) for value in np.percentile(samples, [50, 90, 99]))
    metrics = {
        "latency_p50_ms": p50,
        "latency_p90_ms": p90,
        "latency_p99_ms": p99,
        "latency_mean_ms": float(samples.mean()),
        "latency_min_ms": float(samples.min()),
        **({} if spread is None else {"latency_spread_pct": spread}),
        "inferences": float(samples.size),
        **({"first_inference_ms": float(np.mean(first))} if first else {}),
        "load_ms": float(np.mean([repeat.load_ms for repeat in repeats])),
        "throughput_ips": float(1000 / samples.mean()),
        **({"peak_memory_mb": max(repeat.peak_memory_mb for repeat in repeats)} if told else {}),
        **({"model_memory_mb": max(grown)} if told and based else {}),
        "size_mb": artifact.size_bytes / 1e6,
        **on_npu,
        **sensor_metrics(repeats),
    }
    return Profile(
        target,
        artifact.hash,
        artifact.lineage,
        metrics,
        tuple(repeats),
        tuple(layers),
        settings.threads,
        {**device, **sensor_names(repeats)},
        runtime_version,
        (*_warnings(spread, repeats, settings), *sensor_warnings(repeats), *problems),
    )


def placement(layers: Sequence[Layer]) -> tuple[dict[str, float], list[str]]:
    """Return the share of layers on the NPU, how many are fused, and a warning that names layers which fell off it.

    Without a list of layers nothing is known. Layers are counted; a fused one is where the operator is that does its
    work.
    """
    if not layers:
        return {}, []
    off = [layer for layer in layers if layer.compute_unit != "npu"]
    metrics = {"npu_layers_pct": 100 * (1 - len(off) / len(layers))}
    if len(off) < len(layers):
        metrics["fused_layers"] = float(sum(layer.fused for layer in layers))
    return metrics, [] if len(off) == len(layers) else fell_off(layers, "npu")


def compiled_layers(artifact: Artifact, reported: Sequence[Layer]) -> list[Layer]:
    """Return the layers of a model that was compiled for an NPU, with what the device reported of each.

    The device's list has operators that are no layers: what the compiler put between them and at the boundary. A layer
    that it does not list takes no cycle of its own. Without a list of the compiler the device's is returned.
    """
    if "layers" not in artifact.details or not reported:
        return list(reported)
    found = {one.name: one for one in reported}
    layers = []
    for layer in (Layer(**one) for one in artifact.details["layers"]):
        told = found.get(layer.name)
        if told is None:
            layers.append(replace(layer, fused=layer.compute_unit == "npu"))
        else:
            layers.append(
                replace(
                    layer, compute_unit=told.compute_unit, time_ms=told.time_ms, fused=told.fused, cycles=told.cycles
                )
            )
    return layers


def fell_off(layers: Sequence[Layer], unit: str) -> list[str]:
    """Return a warning that names the layers which are not on the compute unit that was chosen, if there are such."""
    off = [layer for layer in layers if layer.compute_unit != unit]
    if unit == "cpu" or not off:
        return []
    names = ", ".join(f"{layer.name} ({layer.type})" for layer in off[:5])
    more = f" and {len(off) - 5} more" if len(off) > 5 else ""
    return [f"{len(off)} of {len(layers)} layers are not on the {unit.upper()}: {names}{more}"]


def noisy(spread: float | None, settings: ProfileSettings) -> list[str]:
    """Return a warning if the repeats' medians differ too much, `spread` percent of the smaller."""
    if spread is None or spread <= settings.noisy_spread_pct:
        return []
    return [
        f"the two repeats differ by {spread:.0f}% (limit {settings.noisy_spread_pct:g}%): the machine was too "
        "noisy for these latencies to mean anything; profile again when it is quiet"
    ]


def _warnings(spread: float | None, repeats: Sequence[Repeat], settings: ProfileSettings) -> list[str]:
    found = noisy(spread, settings)
    others = [repeat.other_cpu_pct for repeat in repeats if repeat.other_cpu_pct is not None]
    if others and max(others) > BUSY_PCT:
        found.append(f"other processes took {max(others):.0f}% of the machine during the measurement")
    return found
