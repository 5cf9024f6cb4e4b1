"""How every device measures: the same actions of the same agent, wherever it runs."""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import TypeAdapter

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.agent.tensors import Tensors
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import summarise

REPEATS = 2
LAYER_RUNS = 50


class Act(Protocol):
    """Lets the agent do one action in a fresh process; `more` joins its request. Raises `DeviceError`."""

    def __call__(
        self,
        action: str,
        artifact: Artifact,
        inputs: Tensors,
        threads: int,
        time_limit_s: float,
        target: str,
        **more: Any,
    ) -> bytes:
        """Return what the agent wrote."""


def measure(
    act: Act,
    device: Mapping[str, str],
    artifact: Artifact,
    inputs: Tensors,
    settings: ProfileSettings,
    target: str,
) -> Profile:
    """Measure in two fresh processes, then list the layers in a third.

    Args:
        act: runs the agent.
        device: what the device is.
        artifact: what is measured.
        inputs: real ones, each (n, ...).
        settings: how often and how long.
        target: shown in messages.

    Raises:
        DeviceError: the artifact cannot be loaded or run, or takes too long.
    """
    numbers = settings.model_dump(include={"warmup", "min_inferences", "min_seconds", "idle_seconds"})
    found = []
    for index in track(range(REPEATS), f"{target}: profile", REPEATS):
        # only after the last: a repeat that begins on a hot device would differ from the others
        more = settings.sustained_seconds if index == REPEATS - 1 else 0.0
        limit = settings.time_limit_s + 1.1 * more
        request = {**numbers, "sustained_seconds": more}
        found.append(_repeat(act("profile", artifact, inputs, settings.threads, limit, target, **request), target))
    layers, problems = _layers(act, artifact, tuple(one[:1] for one in inputs), settings, target)
    repeats = [repeat for repeat, _ in found]
    version = found[0][1]
    noted = [device["note"]] if "note" in device else []
    problems = [*noted, *_other_version(artifact, version), *problems]
    return summarise(target, artifact, repeats, layers, settings, dict(device), version, problems)


def _other_version(artifact: Artifact, version: str) -> list[str]:
    """Return a warning where the runtime is another version than the one that compiled."""
    found = re.match(r"(\S+) ([^\s,]+)", version)
    compiled_with = artifact.tools.get(found[1]) if found else None
    if found is None or compiled_with in (None, found[2]):
        return []
    return [
        f"compiled with {found[1]} {compiled_with}, run with {found[2]} on the device: figures and outputs may differ "
        f"from those of one version; install {found[1]}=={compiled_with} there"
    ]


def _repeat(data: bytes, target: str) -> tuple[Repeat, str]:
    """Return what the agent measured, and the version of the runtime; a board may answer anything.

    Raises:
        DeviceError: it is no measurement.
    """
    try:
        found = json.loads(data)
        version = str(found.pop("runtime_version"))
        return TypeAdapter(Repeat).validate_python(found), version
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DeviceError(f"{target}: what the device answered is no measurement: {str(error)[:300]}") from error


def _layers(
    act: Act, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str
) -> tuple[list[Layer], list[str]]:
    """Return the layers; if the runtime's profiler fails, none and the reason: the latencies stay valid."""
    try:
        found = act("layers", artifact, inputs, settings.threads, settings.time_limit_s, target, runs=LAYER_RUNS)
    except DeviceError as error:
        return [], [f"no times of single layers: {error}"]
    try:
        return TypeAdapter(list[Layer]).validate_json(found), []
    except ValueError as error:
        return [], [f"no times of single layers: the device's answer is no list of layers: {str(error)[:200]}"]
