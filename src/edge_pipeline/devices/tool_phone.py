"""A phone without Python as a device: LiteRT's `benchmark_model` tells latencies of `tflite` models, and no outputs."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Profile, Repeat, RuntimeName
from edge_pipeline.devices.agent.android import Thermal
from edge_pipeline.devices.agent.heat import Heat, Snapshot, temperature, throttled
from edge_pipeline.devices.benchmark_output import Told, read
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.measuring import REPEATS
from edge_pipeline.devices.readings import sensor_metrics, sensor_warnings
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import noisy

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors
    from edge_pipeline.devices.boards.phone import Phone

NO_OUTPUTS = (
    "the phone has no Python, and benchmark_model tells no outputs: validate the model on another device, such as "
    "host, or put a Python with NumPy and LiteRT on the phone and name it with `python` instead of `benchmark_model`"
)

LIMITS = (
    "benchmark_model measured random inputs and tells no single times: no p90, no p99, no layers, no power, no "
    "absolute memory"
)


class ToolPhone:
    """Runs the program in a fresh process for each repeat; see `Phone`.

    Args:
        name: of the device, for messages.
        phone: returns it, for one action.
        chip: its name, if that is known.
        xnnpack: whether the delegate XNNPACK computes, or LiteRT's own kernels.
        note: what must be said beside every result.
    """

    def __init__(
        self, name: str, phone: "Callable[[], Phone]", chip: str | None, xnnpack: bool, note: str | None = None
    ) -> None:
        self._name, self._phone, self._xnnpack = name, phone, xnnpack
        self._more = {key: value for key, value in {"chip": chip, "note": note}.items() if value}

    def describe(self) -> dict[str, str]:
        """Processor, number of CPUs, operating system and chip, as the phone tells.

        Raises:
            DeviceError: it cannot be reached, or lacks the program.
        """
        return self._described(self.facts())

    def facts(self) -> dict[str, Any]:
        """Return all that the phone tells of itself; see `Phone.facts`.

        Raises:
            DeviceError: it cannot be reached, or lacks the program.
        """
        return wait_for(self._phone().facts())

    def profile(self, artifact: Artifact, inputs: "Tensors", settings: ProfileSettings, target: str) -> Profile:
        """Measure in two fresh processes; `inputs` are not used, the program makes random ones.

        `latency_p50_ms` is the mean of the repeats' medians. What the program does not tell is left out.

        Raises:
            DeviceError: the phone cannot be reached, the program is missing, fails, takes too long or prints
                something else, or the artifact is of another runtime.
        """
        if artifact.details["runtime"] != RuntimeName.TFLITE:
            raise DeviceError(f"{target}: benchmark_model on '{self._name}' runs tflite alone")
        try:
            facts = self.facts()
            found = [self._repeat(artifact, settings) for _ in track(range(REPEATS), f"{target}: profile", REPEATS)]
        except DeviceError as error:
            raise DeviceError(f"{target}: profile failed on the device '{self._name}': {error}") from error
        told, repeats = [one for one, _ in found], [one for _, one in found]
        metrics, spread = _metrics(told)
        noted = [self._more["note"]] if "note" in self._more else []
        unasked = "; no sustained run: benchmark_model has none" if settings.sustained_seconds else ""
        return Profile(
            target,
            artifact.hash,
            artifact.lineage,
            {**metrics, "size_mb": artifact.size_bytes / 1e6, **sensor_metrics(repeats)},
            tuple(repeats),
            (),
            settings.threads,
            self._described(facts),
            f"benchmark_model {facts['program'][:12]}",
            (*noisy(spread, settings), *sensor_warnings(repeats), *noted, LIMITS + unasked),
        )

    def infer(
        self, artifact: Artifact, batches: "Iterable[Tensors]", *, threads: int, time_limit_s: float, target: str
    ) -> "Iterator[Tensors]":
        """Refuse.

        Raises:
            DeviceError: always, with the reason.
        """
        raise DeviceError(f"{target}: infer failed on the device '{self._name}': {NO_OUTPUTS}")

    def _described(self, facts: dict[str, Any]) -> dict[str, str]:
        system = f"{facts['system']} {facts['machine']}"
        return {"kind": "adb", "cpu": str(facts["cpu"]), "cpus": str(facts["cpus"]), "system": system, **self._more}

    def _repeat(self, artifact: Artifact, settings: ProfileSettings) -> tuple[Told, Repeat]:
        model = artifact.files[artifact.details["model"]]
        flags = _flags(settings, self._xnnpack)
        before = _snapshot(wait_for(self._phone().heat()))
        told = read(wait_for(self._phone().run_program(model, flags, settings.time_limit_s)))
        after = _snapshot(wait_for(self._phone().heat()))
        if told.count < settings.min_inferences:
            raise DeviceError(
                f"benchmark_model ran {told.count} of {settings.min_inferences} inferences: raise `time_limit_s`",
                "timeout",
            )
        return told, Repeat(told.load_ms, told.first_ms, (), 0.0, 0.0, None, _readings(told, before, after))


def _flags(settings: ProfileSettings, xnnpack: bool) -> list[str]:
    return [
        "--graph={model}",
        f"--num_threads={settings.threads}",
        f"--warmup_runs={settings.warmup}",
        "--warmup_min_secs=0",
        f"--num_runs={settings.min_inferences}",
        f"--min_secs={settings.min_seconds:g}",
        f"--max_secs={settings.time_limit_s:g}",
        f"--use_xnnpack={str(xnnpack).lower()}",
    ]


def _metrics(told: Sequence[Told]) -> tuple[dict[str, float], float | None]:
    """Return the metrics, and the spread of the repeats' medians in percent or `None`."""
    inferences = sum(one.count for one in told)
    mean = sum(one.mean_ms * one.count for one in told) / inferences
    medians = [one.median_ms for one in told if one.median_ms is not None]
    grown = [one.grown_mb for one in told if one.grown_mb is not None]
    spread = 100 * (max(medians) - min(medians)) / min(medians) if len(medians) == len(told) else None
    return {
        **({} if spread is None else {"latency_p50_ms": float(np.mean(medians)), "latency_spread_pct": spread}),
        "latency_mean_ms": mean,
        "latency_min_ms": min(one.min_ms for one in told),
        "inferences": float(inferences),
        "first_inference_ms": float(np.mean([one.first_ms for one in told])),
        "load_ms": float(np.mean([one.load_ms for one in told])),
        "throughput_ips": 1000 / mean,
        **({"model_memory_mb": max(grown)} if len(grown) == len(told) else {}),
    }, spread


def _readings(told: Told, before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Return what the program and Android told of one repeat, as the agent's `Sampler.readings` has it."""
    latency = {"inferences": told.count, "mean_ms": told.mean_ms, "min_ms": told.min_ms, "max_ms": told.max_ms}
    found: dict[str, Any] = {"latency": {**latency, "median_ms": told.median_ms}}
    slow, why = throttled(Heat(), before, [after])
    if slow is not None:
        found |= {"throttled": slow, "throttled_why": why}
    heat = temperature(before, [], after)
    return {**found, "temperature": heat} if heat else found


def _snapshot(told: Thermal) -> Snapshot:
    return Snapshot(time.perf_counter_ns(), told.processors or told.others, {}, {}, {}, told.status)
