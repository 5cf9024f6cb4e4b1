"""A board behind a link as a device."""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Annotated, Any

from pydantic import BaseModel, Field

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile, RuntimeName
from edge_pipeline.devices.agent.tensors import Tensors, pack, unpack
from edge_pipeline.devices.boards.board import Board
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.execution import Execution
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.news import Tell
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.runtimes.chips import Chip, check_made_for

RESULT_MB = 64
"""Most that a profile from a board may have."""


LOOK_S = 60.0
"""Seconds that the agent may take to look around on a board."""


@dataclass(frozen=True)
class OnBoard:
    """What the entry of a board says of the work there.

    Attributes:
        chip: what the board runs on, if that is known.
        virtual: whether an emulator stands in for the hardware, for the NPU too.
        execution: what computes.
        power_sensor: name or pattern of the one to read; `None` for the best.
    """

    chip: Chip | None = None
    virtual: bool = False
    execution: Execution = field(default_factory=Execution)
    power_sensor: str | None = None

    def request(self, runtime: RuntimeName) -> dict[str, Any]:
        """Return what joins each request of the agent."""
        engine = dict(self.execution.request(runtime))
        found: dict[str, Any] = {"engine": engine} if engine else {}
        if self.virtual and self.chip and self.execution.unit(runtime) == "npu":
            found["soc_model"] = self.chip.soc_model
        return found


class Remote:
    """Runs each action as a job of the agent on the board; see `Board`.

    Args:
        name: of the board, for messages.
        kind: of the link.
        board: returns the board, for one action.
        work: what its entry says of the work there.
        note: what must be said beside every result.
    """

    def __init__(
        self, name: str, kind: str, board: Callable[[], Board], work: OnBoard, note: str | None = None
    ) -> None:
        self._name, self._kind, self._board, self._work = name, kind, board, work
        chip = work.chip.name if work.chip else None
        self._more = {key: value for key, value in {"chip": chip, "note": note}.items() if value}

    def describe(self) -> dict[str, str]:
        """Processor, number of CPUs, operating system and chip, as the board tells.

        Raises:
            DeviceError: it cannot be reached.
        """
        found = self.facts()
        system = f"{found['system']} {found['machine']}"
        described = {"kind": self._kind, "cpu": str(found["cpu"]), "cpus": str(found["cpus"]), "system": system}
        return {**described, **self._more}

    def facts(self) -> dict[str, Any]:
        """Return all that the board tells of itself; see boardside.py.

        Raises:
            DeviceError: it cannot be reached, or has no Python.
        """
        return wait_for(self._board().facts())

    def abilities(self) -> dict[str, Any]:
        """Return the `providers`, `delegates` and `power_sensors` that the agent finds on the board.

        Raises:
            DeviceError: it cannot be reached, the agent fails there, or its answer is something else.
        """
        request = {"action": "describe", "result": "result.json"}
        data = wait_for(self._board().run(request, {}, "result.json", RESULT_MB * 10**6, LOOK_S))
        try:
            return Abilities.model_validate_json(data).model_dump()
        except ValueError as error:
            raise DeviceError(f"{self._name}: the agent's answer to 'describe' is none: {str(error)[:300]}") from error

    def profile(self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str) -> Profile:
        """Measure as on every device; see `measure`.

        Raises:
            DeviceError: the board cannot be reached, or the artifact not be loaded or run there, or takes too long.
        """
        sensor = self._work.power_sensor
        more = {"power_sensor": sensor} if sensor else {}
        runtime = RuntimeName(artifact.details["runtime"])
        unit = self._work.execution.unit(runtime)
        found = measure(self._act, self.describe(), artifact, inputs, settings, target, more, unit)
        note = self._work.chip.note if self._work.chip and runtime.npu else ""
        return replace(found, warnings=(*found.warnings, note)) if note else found

    def infer(
        self, artifact: Artifact, batches: Iterable[Tensors], *, threads: int, time_limit_s: float, target: str
    ) -> Iterator[Tensors]:
        """Yield the outputs, each (n, ...), of each batch of inputs, each (n, ...).

        Raises:
            DeviceError: the board cannot be reached, or the artifact not be loaded or run there, or takes too long.
        """
        for inputs in batches:
            data = self._act("infer", artifact, inputs, threads, time_limit_s, target)
            try:
                _check_size(data, _most(artifact, inputs))
                outputs = unpack(io.BytesIO(data))
            except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise DeviceError(
                    f"{target}: what the device '{self._name}' answered are no outputs: {str(error)[:300]}"
                ) from error
            yield outputs

    def _act(
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
        runtime = RuntimeName(artifact.details["runtime"])
        if runtime.npu and self._work.chip:
            check_made_for(artifact, self._work.chip, target)
        packed = io.BytesIO()
        pack(packed, inputs)
        result = "result.npz" if action == "infer" else "result.json"
        request = {
            "action": action,
            "runtime": artifact.details["runtime"],
            "model": artifact.details["model"],
            "inputs": "inputs.npz",
            "threads": threads,
            "result": result,
            **self._work.request(runtime),
            **more,
        }
        limit = _most(artifact, inputs) if action == "infer" else RESULT_MB * 10**6
        contents = {**artifact.files, **_beside(artifact, runtime), "inputs.npz": packed.getvalue()}
        try:
            found = wait_for(self._board().run(request, contents, result, limit, time_limit_s, tell))
            if action != "infer":
                json.loads(found)
        except (DeviceError, ValueError) as error:
            raise DeviceError(f"{target}: {action} failed on the device '{self._name}': {error}") from error
        return found


class _Sensor(BaseModel):
    """A power sensor, as the agent lists it."""

    name: str = Field(max_length=200)
    scope: str = Field(max_length=40)
    path: str = Field(max_length=400)
    watts: float | None = Field(None, ge=0, le=1e5, allow_inf_nan=False)


class Abilities(BaseModel):
    """What the agent finds on a board, which may answer anything."""

    providers: list[Annotated[str, Field(max_length=100)]] = Field(max_length=100)
    delegates: list[Annotated[str, Field(max_length=100)]] = Field(max_length=100)
    power_sensors: list[_Sensor] = Field(max_length=200)


def _beside(artifact: Artifact, runtime: RuntimeName) -> dict[str, bytes]:
    """Return what a context binary needs on a board, which cannot make it."""
    if runtime is not RuntimeName.QNN_CONTEXT_BINARY:
        return {}
    from edge_pipeline.runtimes.qnn_wrapper import WRAPPER, wrapper

    return {WRAPPER: wrapper(artifact.details["model"], json.loads(artifact.files["tensors.json"]))}


def _most(artifact: Artifact, inputs: Tensors) -> int:
    """Return the most bytes that the outputs for `inputs` can have."""
    return 8 * len(inputs[0]) * sum(prod(tensor.shape) for tensor in artifact.outputs) + 2**20


def _check_size(data: bytes, most: int) -> None:
    """Refuse outputs that would fill this machine's memory once unpacked; raises `ValueError`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > most:
        raise ValueError(f"they have {size} bytes unpacked, more than the {most} that are expected")
