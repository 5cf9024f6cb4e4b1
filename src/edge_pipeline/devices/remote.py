"""A board behind a link as a device."""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.agent.tensors import Tensors, pack, unpack
from edge_pipeline.devices.boards.board import Board
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.settings import ProfileSettings

RESULT_MB = 64
"""Most that a profile from a board may have."""


class Remote:
    """Runs each action as a job of the agent on the board; see `Board`.

    Args:
        name: of the board, for messages.
        kind: of the link.
        board: returns the board, for one action.
        chip: what it runs on.
        note: what must be said beside every result.
    """

    def __init__(
        self, name: str, kind: str, board: Callable[[], Board], chip: str | None, note: str | None = None
    ) -> None:
        self._name, self._kind, self._board = name, kind, board
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

    def profile(self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str) -> Profile:
        """Measure as on every device; see `measure`.

        Raises:
            DeviceError: the board cannot be reached, or the artifact not be loaded or run there, or takes too long.
        """
        return measure(self._act, self.describe(), artifact, inputs, settings, target)

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
        **more: Any,
    ) -> bytes:
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
            **more,
        }
        limit = _most(artifact, inputs) if action == "infer" else RESULT_MB * 10**6
        contents = {**artifact.files, "inputs.npz": packed.getvalue()}
        try:
            found = wait_for(self._board().run(request, contents, result, limit, time_limit_s))
            if action != "infer":
                json.loads(found)
        except (DeviceError, ValueError) as error:
            raise DeviceError(f"{target}: {action} failed on the device '{self._name}': {error}") from error
        return found


def _most(artifact: Artifact, inputs: Tensors) -> int:
    """Return the most bytes that the outputs for `inputs` can have."""
    return 8 * len(inputs[0]) * sum(prod(tensor.shape) for tensor in artifact.outputs) + 2**20


def _check_size(data: bytes, most: int) -> None:
    """Refuse outputs that would fill this machine's memory once unpacked; raises `ValueError`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > most:
        raise ValueError(f"they have {size} bytes unpacked, more than the {most} that are expected")
