"""Try out a device: does it answer, do its runtimes compute what this machine does, what can it measure?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import EdgePipelineError
from edge_pipeline.core.types import Artifact, Profile, RuntimeName
from edge_pipeline.devices.inventory import Device, DeviceSpec, abilities, connect, state
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.tool_phone import NO_OUTPUTS

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors

AGREE_DB = 80.0
"""Least SQNR of float outputs of another processor: they differ by rounding only."""

AGREE_OTHER_DB = 30.0
"""The same of an NPU or a GPU, which compute in float16."""

FREE_MB = 200
"""Free disk, in 10^6 bytes, below which a device is short of it."""

QUICK = ProfileSettings(warmup=5, min_inferences=100, min_seconds=2, idle_seconds=1, time_limit_s=120)
TIME_LIMIT_S = 120.0


@dataclass(frozen=True)
class Step:
    """What a check found; `ok` is `None` where there was nothing to check."""

    name: str
    ok: bool | None
    told: str


def selftest(name: str, spec: DeviceSpec) -> Iterator[Step]:
    """Yield each check as it is done; nothing more once the device does not answer."""
    begun = time.monotonic()
    facts = state(spec)
    if "problem" in facts:
        yield Step("answers", False, facts["problem"])
        return
    what = ", ".join(str(facts[key]) for key in ("cpu", "system", "machine") if facts.get(key))
    yield Step("answers", True, f"{what}, in {time.monotonic() - begun:.1f} s" + _busy(facts))
    if "free_mb" in facts:
        yield Step("disk", facts["free_mb"] >= FREE_MB, f"{facts['free_mb']:,} MB are free")
    yield from _abilities(spec)
    device = connect(spec)
    for runtime in spec.engines:
        if runtime.npu or spec.kind == "aihub":
            yield Step(runtime.value, None, "a model for it is compiled for this device alone: tried by `kedro run`")
            continue
        try:
            model, inputs = _model(runtime)
            if spec.benchmark_model:
                yield Step(runtime.value, None, f"outputs are not compared: {NO_OUTPUTS}")
            else:
                yield _agrees(device, model, inputs, name, spec.execution.unit(runtime))
            yield from _measured(device.profile(model, inputs, QUICK, name), runtime)
        except EdgePipelineError as error:
            yield Step(runtime.value, False, str(error))


def _abilities(spec: DeviceSpec) -> Iterator[Step]:
    """Yield what the device can compute and measure with, the power sensor that is taken first."""
    try:
        found = abilities(spec)
    except EdgePipelineError as error:
        yield Step("engines", False, str(error))
        return
    engines = {"onnx": found.get("providers"), "tflite": found.get("delegates")}
    told = "; ".join(f"{name}: {', '.join(names)}" for name, names in engines.items() if names)
    if told:
        yield Step("engines", None, told)
    if "power_sensors" in found:
        sensors = [_sensor(one) for one in found["power_sensors"]]
        yield Step("power sensors", None, ", ".join(sensors) or "none that can be read")


def _sensor(found: dict[str, Any]) -> str:
    watts = "" if found["watts"] is None else f", {found['watts']:.3g} W now"
    return f"'{found['name']}' ({found['scope']}, {found['path']}{watts})"


def _busy(facts: dict[str, Any]) -> str:
    return "; another job is running there" if facts.get("busy") else ""


def _model(runtime: RuntimeName) -> "tuple[Artifact, Tensors]":
    """Return a small network compiled for a runtime, and inputs (8, 3, 32, 32) for it."""
    import numpy as np
    import torch

    from edge_pipeline.api import compiled
    from edge_pipeline.datasets.factory import FactorySamples

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 8, 3), torch.nn.Sigmoid()
    )
    inputs = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    samples = FactorySamples([(one, 0) for one in inputs])
    return compiled(network, samples, runtime, TIME_LIMIT_S), (inputs,)


def _agrees(device: Device, model: Artifact, inputs: "Tensors", name: str, unit: str) -> Step:
    from edge_pipeline.core.numerics import IDENTICAL_DB, sqnr_db

    def outputs(one: Device) -> Any:
        (found,) = one.infer(model, [inputs], threads=1, time_limit_s=TIME_LIMIT_S, target=name)
        return found[0]

    here, there = outputs(connect(DeviceSpec(kind="host"))), outputs(device)
    agreement = sqnr_db(here, there) if here.shape == there.shape else 0.0
    told = "as on this machine" if agreement >= IDENTICAL_DB else f"{agreement:.0f} dB to this machine"
    least = AGREE_DB if unit == "cpu" else AGREE_OTHER_DB
    return Step(model.details["runtime"], agreement >= least, f"computes {told}")


def _measured(profile: Profile, runtime: RuntimeName) -> Iterator[Step]:
    metrics = profile.metrics
    latency = "p50" if "latency_p50_ms" in metrics else "mean"
    told = f"{latency} {metrics[f'latency_{latency}_ms']:.3f} ms"
    if "peak_memory_mb" in metrics:
        told += f", memory {metrics['peak_memory_mb']:.0f} MB"
    if "energy_mj" in metrics:
        told += f", {metrics['energy_mj']:.3g} mJ an inference from {profile.device['power_sensor']}"
    yield Step(f"{runtime}: measures", True, told)
    missing = {
        "power": "energy_mj",
        "temperature": "temperature_max_c",
        "CPU frequency": "cpu_frequency_mhz",
    }
    absent = [what for what, metric in missing.items() if metric not in metrics]
    if absent:
        yield Step(f"{runtime}: cannot measure", None, ", ".join(absent))
    for warning in profile.warnings:
        yield Step(f"{runtime}: note", None, warning)
