"""The devices of devices.yml, typed, and the way to reach each."""

import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile, RuntimeName
from edge_pipeline.devices.boards.adb_link import check_serial
from edge_pipeline.devices.boards.ssh_link import Address
from edge_pipeline.devices.execution import Execution
from edge_pipeline.devices.retry import Retry, Retrying
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.runtimes.chips import chip

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors
    from edge_pipeline.devices.boards.board import Board
    from edge_pipeline.devices.boards.link import Link
    from edge_pipeline.devices.remote import OnBoard, Remote
    from edge_pipeline.devices.tool_phone import ToolPhone

BOARDS = {"ssh": "~/.cache/edge-pipeline", "adb": "/data/local/tmp/edge-pipeline"}
"""The kinds that are behind a link, and the folder that such a board keeps files in."""

SSH_ALONE = {"keys", "known_hosts"}
HOST_TOO = {"power_sensor"}

VIRTUAL = "emulated: its times and memory say nothing about a chip"
HUB_ALONE = {"hub_device", "os"}
HUB_TOO = {"folder", "runtimes"}


class DeviceSpec(BaseModel):
    """An entry of devices.yml.

    `chip` is what it runs on, for `htp_emulator` what it stands in for, for `host` what models are prepared for; see
    chips.yml.

    For `ssh`: `address` is `user@host` or `user@host:port`; `keys` are private keys (with none, those of the SSH agent
    and of the home folder); `known_hosts` the file of trusted host keys.

    For `adb`: `address` is the serial that `adb devices` shows, for a device in the network `host:port`.

    For both: `python` is the board's command; `folder` what it keeps files in, at most `cache_mb` (10^6 bytes);
    `runtimes` those that are installed there; `retry` when an action is tried again; `virtual` tells that an emulator
    stands in for the hardware, so that its times and memory are not a chip's; `execution` what computes, for each
    runtime.

    `benchmark_model`, of `adb` alone and instead of `python`, is the path of LiteRT's program of that name on a phone
    without Python: it tells latencies of `tflite` models, nothing else.

    For these and `host`: `power_sensor` is the name of a power sensor, or its file, either as a pattern too; without it
    the one that tells most of the device is taken.

    For `aihub`, a device of Qualcomm AI Hub: `hub_device` is its name there, or an attribute such as
    `chipset:qualcomm-qcs8550-proxy`, of which the Hub chooses one; `os` the version of its operating system; `folder`
    where this machine keeps what was sent; `runtimes` those to use of all.

    `labels` are words of the user's own, for choosing devices.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["host", "htp_emulator", "ssh", "adb", "aihub"]
    chip: str | None = None
    address: str | None = None
    hub_device: str | None = Field(None, min_length=1)
    os: str | None = None
    keys: tuple[Path, ...] = ()
    known_hosts: Path = Path("~/.ssh/known_hosts")
    virtual: bool = False
    python: str = "python3"
    benchmark_model: str | None = Field(None, pattern=r"^/[^\x00-\x1f]{1,300}$")
    folder: str | None = None
    cache_mb: int = Field(2000, ge=1)
    runtimes: tuple[RuntimeName, ...] | None = Field(None, min_length=1)
    labels: tuple[str, ...] = ()
    execution: Execution = Execution()
    power_sensor: str | None = Field(None, min_length=1, max_length=200)
    retry: Retry = Retry()

    @field_validator("chip")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return value and chip(value).name
        except DeviceError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _complete(self) -> "DeviceSpec":
        if self.kind == "htp_emulator" and self.chip is None:
            raise ValueError("an htp_emulator needs `chip`, which it stands in for, such as QCS8550")
        alien = self.model_fields_set - {"kind", "chip", "labels"}
        if self.kind == "aihub":
            if self.hub_device is None:
                raise ValueError("an aihub device needs `hub_device`, such as Samsung Galaxy S24")
            alien -= HUB_ALONE | HUB_TOO
        elif alien & HUB_ALONE:
            raise ValueError(f"{', '.join(sorted(alien & HUB_ALONE))}: only a device of kind aihub has this")
        if self.kind == "host":
            alien -= HOST_TOO
        if self.kind not in BOARDS and alien:
            kinds = "ssh" if alien <= SSH_ALONE else "ssh or adb"
            raise ValueError(f"{', '.join(sorted(alien))}: only a device of kind {kinds} has this")
        if self.kind == "adb" and alien & SSH_ALONE:
            raise ValueError(f"{', '.join(sorted(alien & SSH_ALONE))}: only a device of kind ssh has this")
        npu = [one.value for one in self.runtimes or () if one.npu]
        if self.kind in BOARDS and npu and self.chip is None:
            raise ValueError(f"{', '.join(npu)}: models for an NPU are compiled for one chip: name it with `chip`")
        if self.kind == "ssh":
            if self.address is None:
                raise ValueError("an ssh device needs `address`, such as edge@192.0.2.7")
            Address.parse(self.address)
        if self.kind == "adb":
            if self.address is None:
                raise ValueError("an adb device needs `address`, its serial in `adb devices`, such as R58M123ABC")
            check_serial(self.address)
        if self.benchmark_model:
            self._check_tool()
        return self

    def _check_tool(self) -> None:
        if self.kind != "adb":
            raise ValueError("benchmark_model: only a device of kind adb has this")
        alien = self.model_fields_set & {"python", "power_sensor"}
        if alien:
            raise ValueError(f"{', '.join(sorted(alien))}: not with `benchmark_model`, which uses no Python")
        others = [one.value for one in self.runtimes or () if one is not RuntimeName.TFLITE]
        if others:
            raise ValueError(f"{', '.join(others)}: `benchmark_model` runs tflite alone")
        if self.execution.tflite.delegate not in ("xnnpack", "none"):
            raise ValueError("with `benchmark_model` the delegate of tflite is xnnpack or none")

    @property
    def engines(self) -> tuple[RuntimeName, ...]:
        """The runtimes that it has: those that it names, or those of its kind."""
        if self.kind == "aihub":
            return self.runtimes or tuple(RuntimeName)
        if self.benchmark_model:
            return (RuntimeName.TFLITE,)
        return self.runtimes or tuple(one for one in RuntimeName if one.npu == (self.kind == "htp_emulator"))

    @property
    def elsewhere(self) -> str | None:
        """Where its work is done, if not on this machine."""
        return f"AI Hub {self.hub_device} {self.os or ''}".strip() if self.kind == "aihub" else self.address

    @property
    def emulated(self) -> bool:
        """Whether inference takes seconds and its times mean nothing."""
        return self.kind == "htp_emulator"

    @property
    def floats(self) -> bool:
        """Whether its NPU computes in float16."""
        return bool(self.chip) and chip(self.chip or "").float16

    @property
    def hexagon(self) -> str | None:
        """Version of the NPU, whose rules quantization follows."""
        return chip(self.chip).hexagon if self.chip else None


class Device(Protocol):
    """Something that runs artifacts. Every device answers with the same `Profile`."""

    def describe(self) -> dict[str, str]:
        """What it is: processor, operating system."""

    def profile(self, artifact: Artifact, inputs: "Tensors", settings: ProfileSettings, target: str) -> Profile:
        """Measure `artifact` on real `inputs`, each (n, ...).

        Raises:
            DeviceError: the device cannot load or run it, or takes too long.
        """

    def infer(
        self, artifact: Artifact, batches: "Iterable[Tensors]", *, threads: int, time_limit_s: float, target: str
    ) -> "Iterator[Tensors]":
        """Yield the outputs, each (n, ...), of each batch of inputs, each (n, ...), every sample run alone.

        Raises:
            DeviceError: the device cannot load or run it, or a batch takes longer than `time_limit_s`.
        """


def connect(spec: DeviceSpec) -> Device:
    """Return the device that `spec` describes."""
    from edge_pipeline.devices.aihub.device import AiHub
    from edge_pipeline.devices.host import Host
    from edge_pipeline.devices.htp_emulator import HtpEmulator

    if spec.kind == "htp_emulator" and spec.chip:
        return HtpEmulator(chip(spec.chip))
    if spec.kind == "aihub":
        return AiHub(spec)
    if spec.kind in BOARDS:
        return Retrying((_phone if spec.benchmark_model else _board)(spec), spec.retry)
    return Host(spec.power_sensor)


def _board(spec: DeviceSpec) -> "Remote":
    from edge_pipeline.devices.remote import Remote

    assert spec.address
    return Remote(spec.address, spec.kind, partial(board, spec), _on_board(spec), VIRTUAL if spec.virtual else None)


def _phone(spec: DeviceSpec) -> "ToolPhone":
    from edge_pipeline.devices.boards.phone import Phone
    from edge_pipeline.devices.tool_phone import ToolPhone

    assert spec.address and spec.benchmark_model
    phone = partial(
        Phone,
        spec.address,
        partial(_link, spec, spec.address),
        folder=spec.folder or BOARDS[spec.kind],
        cache_mb=spec.cache_mb,
        program=spec.benchmark_model,
    )
    xnnpack = spec.execution.tflite.delegate == "xnnpack"
    return ToolPhone(spec.address, phone, spec.chip, xnnpack, VIRTUAL if spec.virtual else None)


def _on_board(spec: DeviceSpec) -> "OnBoard":
    """Return what the agent on the board is told besides the job."""
    from edge_pipeline.devices.remote import OnBoard

    known = chip(spec.chip) if spec.chip else None
    return OnBoard(known, spec.virtual, spec.execution, spec.power_sensor)


def abilities(spec: DeviceSpec) -> dict[str, Any]:
    """Return what the device's agent finds there: `providers`, `delegates`, `power_sensors`; empty for other kinds.

    Raises:
        DeviceError: it does not answer.
    """
    if spec.kind in BOARDS and not spec.benchmark_model:
        return _board(spec).abilities()
    if spec.kind == "host":
        from edge_pipeline.devices.local import describe

        return describe()
    return {}


def board(spec: DeviceSpec) -> "Board":
    """Return the board behind a device of a kind in `BOARDS`, not connected yet."""
    from edge_pipeline.devices.boards.board import Board

    assert spec.address
    return Board(
        spec.address,
        partial(_link, spec, spec.address),
        folder=spec.folder or BOARDS[spec.kind],
        python=spec.python,
        cache_mb=spec.cache_mb,
    )


async def _link(spec: DeviceSpec, address: str) -> "Link":
    from edge_pipeline.devices.boards import adb_link, ssh_link

    if spec.kind == "adb":
        return await adb_link.connect(address, check_serial(address))
    keys = tuple(path.expanduser() for path in spec.keys)
    return await ssh_link.connect(address, Address.parse(address), known_hosts=spec.known_hosts.expanduser(), keys=keys)


def state(spec: DeviceSpec) -> dict[str, Any]:
    """Return what a device is, and as `state` whether it answers: `ready`, `busy` or `unreachable`.

    A device that does not answer has the `problem`.
    """
    from edge_pipeline.devices.aihub import hub
    from edge_pipeline.devices.boards import boardside

    if spec.kind == "aihub":
        return hub.state(spec)
    if spec.kind in BOARDS:
        try:
            found = (_phone if spec.benchmark_model else _board)(spec).facts()
        except DeviceError as error:
            return {"state": "unreachable", "problem": str(error)}
        return {**found, "state": "busy" if found["busy"] else "ready"}
    found = boardside.facts({"folder": tempfile.gettempdir()})
    if spec.kind == "htp_emulator":
        qnn = {name: version for name, version in found["packages"].items() if "qnn" in name}
        problem = {} if qnn else {"problem": "the emulator needs `pip install 'edge-pipeline[qnn]'`"}
        return {"state": "ready" if qnn else "not installed", "packages": qnn, "cpu": "emulated", **problem}
    return {**found, "state": "ready"}
