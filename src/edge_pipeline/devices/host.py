"""This machine as a device."""

import io
import os
import platform
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.agent.tensors import Tensors, unpack
from edge_pipeline.devices.local import act
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.settings import ProfileSettings

_MEASURING = threading.Lock()
"""Two measurements at once would measure each other."""


class Host:
    """Runs each action in a fresh process that loads nothing but the runtime and the artifact.

    Args:
        power_sensor: name or pattern of the one to read; by default the best.
    """

    def __init__(self, power_sensor: str | None = None) -> None:
        self._more = {"power_sensor": power_sensor} if power_sensor else {}

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
        with _MEASURING:
            return measure(act, self.describe(), artifact, inputs, settings, target, self._more)

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


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
