"""The devices of devices.yml, typed, and the way to reach each."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.settings import ProfileSettings

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors


class DeviceSpec(BaseModel):
    """An entry of devices.yml. `hexagon` is the version of its NPU, whose rules quantization follows."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["host"]
    hexagon: Literal["v68", "v69", "v73", "v75", "v79", "v81"] | None = None


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

    return Host()
