"""How every device measures: the same actions of the same agent, wherever it runs."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from pydantic import TypeAdapter

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import advance, track
from edge_pipeline.core.types import Artifact, Layer, Profile, Repeat
from edge_pipeline.devices.agent.tensors import Tensors
from edge_pipeline.devices.news import Tell
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.devices.summary import compiled_layers, fell_off, summarise

REPEATS = 2
LAYER_RUNS = 50


class Act(Protocol):
    """Lets the agent do one action in a fresh process; `more` joins its request. Raises `DeviceError`.

    `tell` is told what the agent is doing.
    """

    def __call__(
        self,
        action: str,
        artifact: Artifact,
        inputs: Tensors,
        threads: int,
        time_limit_s: float,
        target: str,
        tell: Tell | None = None,
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
    more: Mapping[str, Any] | None = None,
    unit: str = "cpu",
) -> Profile:
    """Measure in two fresh processes, then list the layers in a third.

    Args:
        act: runs the agent.
        device: what the device is.
        artifact: what is measured.
        inputs: real ones, each (n, ...).
        settings: how often and how long.
        target: shown in messages.
        more: joins each request for a measurement, such as the `power_sensor`.
        unit: compute unit that was chosen; layers that are not on it are warned of.

    Raises:
        DeviceError: the artifact cannot be loaded or run, or takes too long.
    """
    numbers = settings.model_dump(include={"warmup", "min_inferences", "min_seconds", "idle_seconds"})
    found = []
    step = f"{target}: profile"
    for index in track(range(REPEATS), step, REPEATS):
        # only after the last: a repeat that begins on a hot device would differ from the others
        longer = settings.sustained_seconds if index == REPEATS - 1 else 0.0
        limit = settings.time_limit_s + 1.1 * longer
        request = {**numbers, "sustained_seconds": longer, "tell": partial(advance, step, index), **(more or {})}
        found.append(_repeat(act("profile", artifact, inputs, settings.threads, limit, target, **request), target))
    layers, problems = _layers(act, artifact, tuple(one[:1] for one in inputs), settings, target)
    repeats = [repeat for repeat, _ in found]
    version = found[0][1]
    noted = [device["note"]] if "note" in device else []
    problems = [*noted, *_other_version(artifact, version), *fell_off(layers, unit), *problems]
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
        return compiled_layers(artifact, TypeAdapter(list[Layer]).validate_json(found)), []
    except ValueError as error:
        return [], [f"no times of single layers: the device's answer is no list of layers: {str(error)[:200]}"]
