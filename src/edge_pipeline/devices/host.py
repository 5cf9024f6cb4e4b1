"""This machine as a device."""

import io
import json
import os
import platform
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.child import ChildError, run_child
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import disk_errors
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import summarise

Float = NDArray[np.float32]
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

    def profile(self, artifact: Artifact, images: Float, settings: ProfileSettings, target: str) -> Profile:
        """Measure in two fresh processes, then list the layers in a third.

        Raises:
            DeviceError: the artifact cannot be loaded or run, or takes too long.
        """
        numbers = settings.model_dump(include={"warmup", "min_inferences", "min_seconds"})
        limit = settings.time_limit_s
        with _MEASURING:
            found = [
                json.loads(self._act("profile", artifact, images, settings.threads, limit, target, **numbers))
                for _ in track(range(REPEATS), f"{target}: profile", REPEATS)
            ]
            layers, problems = self._layers(artifact, images[:1], settings, target)
        version = [one.pop("runtime_version") for one in found]
        repeats = [Repeat(**{**one, "samples_ms": tuple(one["samples_ms"])}) for one in found]
        return summarise(target, artifact, repeats, layers, settings, self.describe(), version[0], problems)

    def infer(
        self, artifact: Artifact, batches: Iterable[Float], *, threads: int, time_limit_s: float, target: str
    ) -> Iterator[Float]:
        """Yield the outputs (n, ...) of each batch of images (n, c, h, w), in a fresh process a batch.

        Each image is run alone. Batches are asked for one at a time, so that no dataset is too large.

        Raises:
            DeviceError: the artifact cannot be loaded or run, or a batch takes longer than `time_limit_s`.
        """
        for images in batches:
            data = self._act("infer", artifact, images, threads, time_limit_s, target)
            yield np.load(io.BytesIO(data), allow_pickle=False)

    def _layers(
        self, artifact: Artifact, image: Float, settings: ProfileSettings, target: str
    ) -> tuple[list[Layer], list[str]]:
        """Return the layers; if the runtime's profiler fails, none and the reason: the latencies stay valid."""
        try:
            found = self._act(
                "layers", artifact, image, settings.threads, settings.time_limit_s, target, runs=LAYER_RUNS
            )
        except DeviceError as error:
            return [], [f"no times of single layers: {error}"]
        return [Layer(**layer) for layer in json.loads(found)], []

    def _act(
        self,
        action: str,
        artifact: Artifact,
        images: Float,
        threads: int,
        time_limit_s: float,
        target: str,
        **numbers: Any,
    ) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            result = folder / ("result.npy" if action == "infer" else "result.json")
            request = {
                "action": action,
                "runtime": artifact.details["runtime"],
                "model": str(folder / artifact.details["model"]),
                "inputs": str(folder / "inputs.npy"),
                "threads": threads,
                "result": str(result),
                **numbers,
            }
            with disk_errors(folder / "request.json"):
                artifact.unpack(folder)
                np.save(folder / "inputs.npy", images)
                (folder / "request.json").write_text(json.dumps(request))
            try:
                run_child("edge_pipeline.devices.agent", [str(folder / "request.json")], time_limit_s=time_limit_s)
                return result.read_bytes()
            except (ChildError, OSError) as error:
                raise DeviceError(f"{target}: the device 'host' could not {action} the artifact; {error}") from error


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
