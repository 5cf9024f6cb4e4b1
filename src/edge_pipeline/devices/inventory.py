"""The devices of devices.yml, typed, and the way to reach each."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile, RuntimeName
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.runtimes.chips import chip

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors


class DeviceSpec(BaseModel):
    """An entry of devices.yml.

    `chip` is what it runs on, for `htp_emulator` what it stands in for, for `host` what models are prepared for; see
    chips.yml.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["host", "htp_emulator"]
    chip: str | None = None

    @field_validator("chip")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return value and chip(value).name
        except DeviceError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _emulates_something(self) -> "DeviceSpec":
        if self.kind == "htp_emulator" and self.chip is None:
            raise ValueError("an htp_emulator needs `chip`, which it stands in for, such as QCS8550")
        return self

    @property
    def runtimes(self) -> tuple[RuntimeName, ...]:
        """The runtimes that a device of this kind has."""
        return tuple(one for one in RuntimeName if one.npu == (self.kind == "htp_emulator"))

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
    from edge_pipeline.devices.host import Host
    from edge_pipeline.devices.htp_emulator import HtpEmulator

    return HtpEmulator(chip(spec.chip)) if spec.kind == "htp_emulator" and spec.chip else Host()
