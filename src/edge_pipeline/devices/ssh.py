"""A board behind SSH as a device."""

import io
import json
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.agent.tensors import Tensors, pack, unpack
from edge_pipeline.devices.boards.board import Board
from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.boards.ssh_link import Address, connect
from edge_pipeline.devices.measuring import measure
from edge_pipeline.devices.settings import ProfileSettings

RESULT_MB = 64
"""Most that a profile from a board may have."""


class Ssh:
    """Runs each action as a job of the agent on the board; see `Board`."""

    def __init__(
        self,
        address: str,
        *,
        keys: tuple[Path, ...],
        known_hosts: Path,
        folder: str,
        python: str,
        cache_mb: int,
        chip: str | None,
    ) -> None:
        self._name, self._chip = address, chip
        place = Address.parse(address)

        def board() -> Board:
            return Board(
                address,
                lambda: connect(address, place, known_hosts=known_hosts, keys=keys),
                folder=folder,
                python=python,
                cache_mb=cache_mb,
            )

        self._board = board

    def describe(self) -> dict[str, str]:
        """Processor, number of CPUs, operating system and chip, as the board tells.

        Raises:
            DeviceError: it cannot be reached.
        """
        found = self.facts()
        system = f"{found['system']} {found['machine']}"
        described = {"kind": "ssh", "cpu": str(found["cpu"]), "cpus": str(found["cpus"]), "system": system}
        return {**described, "chip": self._chip} if self._chip else described

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
            yield unpack(io.BytesIO(self._act("infer", artifact, inputs, threads, time_limit_s, target)))

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
        limit = RESULT_MB * 10**6
        if action == "infer":
            limit = 8 * len(inputs[0]) * sum(prod(tensor.shape) for tensor in artifact.outputs) + 2**20
        contents = {**artifact.files, "inputs.npz": packed.getvalue()}
        try:
            found = wait_for(self._board().run(request, contents, result, limit, time_limit_s))
            if action != "infer":
                json.loads(found)
        except (DeviceError, ValueError) as error:
            raise DeviceError(f"{target}: {action} failed on the device '{self._name}': {error}") from error
        return found
