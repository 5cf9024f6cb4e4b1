"""This machine as a device."""

import io
import json
import os
import platform
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.agent.tensors import Tensors, unpack
from edge_pipeline.devices.local import act
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import summarise

REPEATS = 2
LAYER_RUNS = 50
_MEASURING = threading.Lock()
"""Two measurements at once would measure each other."""


class Host:
    """Runs each action in a fresh process that loads nothing but the runtime and the artifact."""

    def describe(self) -> dict[str, str]:
        """Processor, number of CPUs this process may use, operating system."""
        return {
            "kind": "host",
            "cpu": _cpu_model(),
            "cpus": str(len(os.sched_getaffinity(0))),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        }

    def profile(self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str) -> Profile:
        """Measure in two fresh processes, then list the layers in a third.

        Raises:
            DeviceError: the artifact cannot be loaded or run, or takes too long.
        """
        numbers = settings.model_dump(include={"warmup", "min_inferences", "min_seconds"})
        limit = settings.time_limit_s
        with _MEASURING:
            found = [
                json.loads(act("profile", artifact, inputs, settings.threads, limit, target, **numbers))
                for _ in track(range(REPEATS), f"{target}: profile", REPEATS)
            ]
            layers, problems = self._layers(artifact, tuple(one[:1] for one in inputs), settings, target)
        version = [one.pop("runtime_version") for one in found]
        repeats = [Repeat(**{**one, "samples_ms": tuple(one["samples_ms"])}) for one in found]
        return summarise(target, artifact, repeats, layers, settings, self.describe(), version[0], problems)

    def infer(
        self, artifact: Artifact, batches: Iterable[Tensors], *, threads: int, time_limit_s: float, target: str
    ) -> Iterator[Tensors]:
        """Yield the outputs, each (n, ...), of each batch of inputs, each (n, ...), in a fresh process a batch.

        Each sample is run alone. Batches are asked for one at a time, so that no dataset is too large.

        Raises:
            DeviceError: the artifact cannot be loaded or run, or a batch takes longer than `time_limit_s`.
        """
        for inputs in batches:
            data = act("infer", artifact, inputs, threads, time_limit_s, target)
            yield unpack(io.BytesIO(data))

    def _layers(
        self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str
    ) -> tuple[list[Layer], list[str]]:
        """Return the layers; if the runtime's profiler fails, none and the reason: the latencies stay valid."""
        try:
            found = act("layers", artifact, inputs, settings.threads, settings.time_limit_s, target, runs=LAYER_RUNS)
        except DeviceError as error:
            return [], [f"no times of single layers: {error}"]
        return [Layer(**layer) for layer in json.loads(found)], []


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
