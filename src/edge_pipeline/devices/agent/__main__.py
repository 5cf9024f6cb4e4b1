"""`python -m edge_pipeline.devices.agent REQUEST`: do one action in a fresh process and write its result to a file.

REQUEST is a JSON file with `action` (`profile`, `layers`, `infer` or `describe`), `runtime`, `model`, `inputs` (an
.npz file of the inputs, each (n, ...) float32), `threads`, `result` (file to write), `soc_model` (of the chip to
emulate, if any), `engine` (what computes, if not the CPU; see providers.py), `events` (file for what is going on, if
wanted), and for `profile` the numbers `warmup`, `min_inferences`, `min_seconds`, and where wanted `idle_seconds`,
`sustained_seconds`, `power_sensor` (a name or pattern) and `sensors_root` (the folder that has `sys`); for `layers` the
number `runs`. `describe` needs `result` alone. Only the standard library, NumPy and the runtime are loaded: the memory
of this process is what an application would need.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge_pipeline.core.child import die_with_parent
from edge_pipeline.devices.agent.events import Events
from edge_pipeline.devices.agent.sampler import Sampler
from edge_pipeline.devices.agent.sensors import power_sensors
from edge_pipeline.devices.agent.sustained import sustain
from edge_pipeline.devices.agent.tensors import pack, unpack
from edge_pipeline.runtimes import providers
from edge_pipeline.runtimes.session import Session, open_session, run


def main(request: dict[str, Any]) -> None:
    """Do the action of `request`."""
    result, events = Path(request["result"]), Events(request.get("events"))
    if request["action"] == "describe":
        told = describe(request)
        _write(result, lambda path: path.write_text(json.dumps(told)))
        return
    inputs = unpack(Path(request["inputs"]))
    samples = [[one[i : i + 1] for one in inputs] for i in range(len(inputs[0]))]
    if request["action"] == "infer":
        events.tell("loading")
        session = _open(request)
        outputs = []
        for index, sample in enumerate(samples):
            events.tell("inferring", index, len(samples))
            outputs.append(run(session, sample))
        joined = tuple(np.concatenate(one) for one in zip(*outputs, strict=True))
        _write(result, lambda path: pack(path, joined))
        return
    if request["action"] == "layers":
        events.tell("profiling")
        found: Any = _open(request).layers(samples[0], request["runs"])
    else:
        found = profile(request, samples, events)
    _write(result, lambda path: path.write_text(json.dumps(found)))


def describe(request: dict[str, Any]) -> dict[str, Any]:
    """Return what this machine can compute and measure with.

    Returns:
        `providers` of ONNX Runtime and `delegates` of LiteRT, each empty where that is not installed; `power_sensors`,
        the chosen one first, each with `name`, `scope`, `path` and `watts` (`None` of a counter).
    """
    sensors = power_sensors(Path(request.get("sensors_root", "/")))
    listed = [
        {
            "name": one.name,
            "scope": one.scope,
            "path": one.path,
            "watts": None if one.counter else one.read(),
        }
        for one in sensors
    ]
    return {
        "providers": providers.providers() if find_spec("onnxruntime") else [],
        "delegates": [providers.XNNPACK, providers.NO_DELEGATE] if find_spec("ai_edge_litert") else [],
        "power_sensors": listed,
    }


def profile(request: dict[str, Any], samples: Sequence[Any], events: Events) -> dict[str, Any]:
    """Measure loading, the first inference, and many more; times are of the engine alone, in milliseconds.

    Returns:
        The fields of `Repeat`, and `runtime_version`. `readings` is missing where no sensor can be read.
    """
    sampler = Sampler(Path(request.get("sensors_root", "/")), request.get("power_sensor"))
    sampler.start()
    events.tell("importing")
    _import_engine(request)
    events.tell("idle")
    idle = sampler.rest(request.get("idle_seconds", 2.0))
    events.tell("loading")
    baseline = _peak_memory_mb()
    start = time.perf_counter_ns()
    session = _open(request)
    loaded = time.perf_counter_ns()
    inputs = [session.encode(sample) for sample in samples]
    first = time.perf_counter_ns()
    session.invoke(inputs[0])
    first_ms = (time.perf_counter_ns() - first) / 1e6
    for index in range(request["warmup"]):
        events.tell("warming up", index, request["warmup"])
        session.invoke(inputs[index % len(inputs)])
    busy_before = _cpu_times()
    times: list[float] = []
    events.tell("measuring", 0, request["min_inferences"])
    begin = time.perf_counter_ns()
    while True:
        native = inputs[len(times) % len(inputs)]
        tick = time.perf_counter_ns()
        session.invoke(native)
        now = time.perf_counter_ns()
        times.append((now - tick) / 1e6)
        if len(times) >= request["min_inferences"] and now - begin >= request["min_seconds"] * 1e9:
            break
        if events.due("measuring", now):
            events.tell("measuring", *_of_what(len(times), (now - begin) / 1e9, request))
    busy_after = _cpu_times()
    sampler.stop()
    readings = sampler.readings(idle, (begin, now), len(times))
    found = {
        "load_ms": (loaded - start) / 1e6,
        "first_inference_ms": first_ms,
        "samples_ms": times,
        "peak_memory_mb": _peak_memory_mb(),
        "baseline_memory_mb": baseline,
        "other_cpu_pct": _other_cpu(busy_before, busy_after),
        "runtime_version": session.version,
    }
    if request.get("sustained_seconds"):
        readings["sustained"] = sustain(session.invoke, inputs, request["sustained_seconds"], sampler.heat, events)
    return {**found, "readings": readings} if readings else found


def _of_what(runs: int, seconds: float, request: dict[str, Any]) -> tuple[float, float, str]:
    """Return how much is done of how much: of the runs, or where there are enough already, of the seconds."""
    if runs < request["min_inferences"]:
        return runs, request["min_inferences"], ""
    return seconds, request["min_seconds"], "s"


def _open(request: dict[str, Any]) -> Session:
    return open_session(
        request["runtime"],
        Path(request["model"]),
        threads=request["threads"],
        soc_model=request.get("soc_model"),
        engine=request.get("engine"),
    )


def _import_engine(request: dict[str, Any]) -> None:
    if request["runtime"] == "tflite":
        import edge_pipeline.runtimes.litert_session
    elif request["runtime"] == "onnx":
        import edge_pipeline.runtimes.onnx_session
    else:
        import edge_pipeline.runtimes.qnn_session  # noqa: F401


def _peak_memory_mb() -> float:
    """Peak resident memory of this process in 10^6 bytes.

    Read from /proc, because getrusage's figure is inherited from the process that started this one.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status has no VmHWM")


def _cpu_times() -> tuple[float, float, float]:
    """Seconds: all CPUs in total, all CPUs busy, this process."""
    try:
        fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0, 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    return sum(fields) / tick, (sum(fields) - fields[3] - fields[4]) / tick, time.process_time()


def _other_cpu(before: tuple[float, float, float], after: tuple[float, float, float]) -> float | None:
    """Share of the machine that other processes took meanwhile, in percent; `None` where /proc/stat is missing."""
    total, busy, own = (b - a for a, b in zip(before, after, strict=True))
    return max(0.0, 100 * (busy - own) / total) if total else None


def _write(path: Path, write: Any) -> None:
    temporary = path.with_name(f"partial-{path.name}")
    write(temporary)
    temporary.replace(path)


if __name__ == "__main__":
    die_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
