"""Try an action on a device again where that can help, and say so."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from edge_pipeline.core.errors import DeviceError, DeviceTrouble, causes
from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.settings import ProfileSettings

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors
    from edge_pipeline.devices.inventory import Device

T = TypeVar("T")


class Retry(BaseModel):
    """When an action on a device is tried again.

    There are at most `attempts`, after pauses of `backoff_s` seconds, of twice, of four times that, and so on. `on` are
    the troubles that may pass: `unreachable` (no link, or the link stayed lost), `damaged` (what arrived, there or
    here, is not what was sent), `killed` (the agent was ended by a signal), `timeout` (its time limit). An error that
    the agent or the runtime reports is not tried again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    attempts: int = Field(2, ge=1, le=100)
    backoff_s: float = Field(5.0, ge=0, le=3600)
    on: tuple[DeviceTrouble, ...] = ("unreachable", "damaged", "killed")


class Retrying:
    """A device whose actions are tried again by a policy.

    Attributes:
        retries: what went wrong before it went right, in words.
    """

    def __init__(self, device: "Device", policy: Retry) -> None:
        self._device, self._policy = device, policy
        self.retries: list[str] = []

    def describe(self) -> dict[str, str]:
        """See `Device`."""
        return self._again(self._device.describe, "describe")

    def profile(self, artifact: Artifact, inputs: "Tensors", settings: ProfileSettings, target: str) -> Profile:
        """See `Device`; retries are among the warnings of the profile."""
        before = len(self.retries)
        found = self._again(lambda: self._device.profile(artifact, inputs, settings, target), "profile")
        return replace(found, warnings=(*found.warnings, *self.retries[before:]))

    def infer(
        self, artifact: Artifact, batches: "Iterable[Tensors]", *, threads: int, time_limit_s: float, target: str
    ) -> "Iterator[Tensors]":
        """See `Device`; each batch is tried again by itself."""

        def outputs(inputs: "Tensors") -> "Tensors":
            found = self._device.infer(artifact, [inputs], threads=threads, time_limit_s=time_limit_s, target=target)
            return next(iter(found))

        for inputs in batches:
            yield self._again(lambda inputs=inputs: outputs(inputs), "infer")  # type: ignore[misc]

    def _again(self, action: Callable[[], T], name: str) -> T:
        tries = 1
        while True:
            try:
                return action()
            except DeviceError as error:
                if _trouble(error) not in self._policy.on:
                    raise
                if tries >= self._policy.attempts:
                    raise DeviceError(f"{error} (tried {tries} times)" if tries > 1 else str(error)) from error
                said = f"{name} was tried again after: {error}"
                logging.getLogger(__name__).warning(said)
                self.retries.append(said)
                time.sleep(self._policy.backoff_s * 2 ** (tries - 1))
                tries += 1


def _trouble(error: DeviceError) -> DeviceTrouble | None:
    return next((one.trouble for one in causes(error) if isinstance(one, DeviceError) and one.trouble), None)
