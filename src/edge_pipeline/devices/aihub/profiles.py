"""A Hub's measurements as the `Profile` of every device."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import summarise

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

_CHOSEN_THERE = 0


def profile(
    detail: "pb.ProfileDetail",
    artifact: Artifact,
    settings: ProfileSettings,
    target: str,
    device: Mapping[str, str],
) -> Profile:
    """Return what a Hub measured.

    The percentiles are computed here from all inference times: the Hub's own estimate is their minimum. There is no
    power. `threads` is 0: the Hub chooses.

    Args:
        detail: times in microseconds, memory in bytes.
        artifact: what was measured.
        settings: of the measurement.
        target: shown in messages.
        device: what it was measured on.

    Raises:
        DeviceError: there are no single inference times.
    """
    if not detail.all_execution_times:
        raise DeviceError(
            f"{target}: AI Hub's profile has no single inference times, so no percentiles. Page: {device.get('page')}"
        )
    peak, grown = detail.execution_memory.peak.upper, detail.execution_memory.increase.upper
    peak = peak or detail.after_execution_peak_memory
    repeat = Repeat(
        load_ms=detail.cold_load_time / 1e3,
        first_inference_ms=None,
        samples_ms=tuple(one / 1e3 for one in detail.all_execution_times),
        peak_memory_mb=peak / 1e6,
        baseline_memory_mb=(peak - grown) / 1e6 if grown else 0.0,
        other_cpu_pct=None,
    )
    layers = [_layer(one) for one in detail.layer_details]
    tools = ", ".join(f"{one.name} {one.version}".strip() for one in detail.tool_versions) or "not told"
    problems = [] if layers else ["no layers: AI Hub did not list them"]
    found = summarise(target, artifact, [repeat], layers, settings, device, tools, problems)
    metrics = dict(found.metrics)
    if detail.warm_load_time:
        metrics["warm_load_ms"] = detail.warm_load_time / 1e3
    return replace(found, metrics=metrics, threads=_CHOSEN_THERE)


def _layer(one: "pb.LayerDetail") -> Layer:
    from qai_hub import public_api_pb2 as pb

    units = {pb.COMPUTE_UNIT_CPU: "cpu", pb.COMPUTE_UNIT_GPU: "gpu", pb.COMPUTE_UNIT_NPU: "npu"}
    time = one.execution_time / 1e3 if one.HasField("execution_time") else None
    cycles = one.execution_cycles if one.HasField("execution_cycles") else None
    return Layer(one.name, one.layer_type_name, units.get(one.compute_unit, "unknown"), time, cycles=cycles)
