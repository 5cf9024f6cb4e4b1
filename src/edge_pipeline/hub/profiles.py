"""A `Profile` in the words of the protocol: times in microseconds, memory in bytes."""

from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.types import Profile

_UNITS = {"cpu": pb.COMPUTE_UNIT_CPU, "gpu": pb.COMPUTE_UNIT_GPU, "npu": pb.COMPUTE_UNIT_NPU}


def detail(profile: Profile) -> pb.ProfileDetail:
    """Return the measurements. What a device cannot tell stays 0, and its list of single values empty.

    The estimate of the inference time is the minimum. The first repeat's loading is the first load, later ones are
    warm.
    """
    found = pb.ProfileDetail(major_version=1, minor_version=2)
    if profile.repeats:
        loads = [_us(repeat.load_ms) for repeat in profile.repeats]
        peaks = [round(repeat.peak_memory_mb * 1e6) for repeat in profile.repeats]
        grown = [round((repeat.peak_memory_mb - repeat.baseline_memory_mb) * 1e6) for repeat in profile.repeats]
        found.all_execution_times.extend(_us(one) for repeat in profile.repeats for one in repeat.samples_ms)
        found.execution_time = min(found.all_execution_times, default=_us(profile.metrics.get("latency_min_ms", 0.0)))
        found.all_cold_load_times.append(loads[0])
        found.cold_load_time = loads[0]
        if loads[1:]:
            found.all_warm_load_times.extend(loads[1:])
            found.warm_load_time = min(loads[1:])
        found.after_execution_peak_memory = max(peaks)
        found.execution_memory.peak.CopyFrom(_range(peaks))
        found.execution_memory.increase.CopyFrom(_range(grown))
    for index, layer in enumerate(profile.layers):
        unit = _UNITS.get(layer.compute_unit, pb.COMPUTE_UNIT_CPU)
        one = found.layer_details.add(name=layer.name, layer_type_name=layer.type, compute_unit=unit, id=str(index))
        if layer.time_ms is not None:
            one.execution_time = _us(layer.time_ms)
        if layer.cycles is not None:
            one.execution_cycles = layer.cycles
    for tool in profile.runtime_version.split(", "):
        name, _, version = tool.partition(" ")
        found.tool_versions.add(name=name, version=version)
    return found


def told(profile: Profile) -> str:
    """Return what the protocol has no place for, as the lines of a log."""
    device = ", ".join(f"{name}: {value}" for name, value in profile.device.items())
    metrics = [f"{name}: {value:.6g}" for name, value in profile.metrics.items()]
    warnings = [f"warning: {one}" for one in profile.warnings]
    return "\n".join([f"device: {device}", f"runtime: {profile.runtime_version}", *metrics, *warnings]) + "\n"


def _us(milliseconds: float) -> int:
    return round(milliseconds * 1000)


def _range(values: list[int]) -> pb.Range:
    return pb.Range(lower=max(0, min(values)), upper=max(0, max(values)))
