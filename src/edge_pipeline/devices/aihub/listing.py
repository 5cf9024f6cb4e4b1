"""The jobs that this machine submitted to a Hub, and where they are there."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_pipeline.devices.aihub.client import Client
from edge_pipeline.devices.aihub.jobs import ENDED, PAST, body, job_there, state_of
from edge_pipeline.devices.aihub.ledger import Ledger

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

ASKING_S = 60.0
"""For so long a job whose number is not known is taken for one that the Hub is being asked for."""

KINDS = ("compile", "quantize", "link", "profile", "inference")


@dataclass(frozen=True)
class Submitted:
    """A job as this machine recorded it.

    Attributes:
        kind: one of `KINDS`.
        name: the one it was given.
        id: the Hub's, or nothing if its answer never came.
        target: what it is for; nothing in records of earlier versions.
        since: when it was asked for, seconds of the epoch.
    """

    kind: str
    name: str
    id: str
    target: str
    since: float


@dataclass(frozen=True)
class Seen:
    """A job as the Hub tells of it now.

    Attributes:
        job: what was submitted.
        state: in lower case; `unknown` if its answer never came, `gone` if the Hub no longer has it.
        device: its name there, or nothing: not every kind of job has one.
        seconds: from its beginning to its end, or until now; `None` if the Hub does not tell.
    """

    job: Submitted
    state: str
    device: str
    seconds: float | None

    @property
    def open(self) -> bool:
        """Whether it goes on, or is just being asked for."""
        if self.state == "unknown":
            return time.time() - self.job.since < ASKING_S
        return self.state not in (*(one.lower() for one in ENDED), "gone")


def submitted(ledgers: Iterable[Ledger]) -> list[Submitted]:
    """Return the last job of everything that was submitted, newest first."""
    found: dict[str, Submitted] = {}
    for ledger in ledgers:
        for kind in KINDS:
            for record in ledger.all(kind):
                one = record if "name" in record else record.get(PAST, {})
                if "name" in one:
                    known = (kind, str(one["name"]), str(one.get("id", "")), str(one.get("target", "")))
                    found[known[2] or known[1]] = Submitted(*known, float(one.get("since", 0)))
    return sorted(found.values(), key=lambda one: one.since, reverse=True)


def seen(client: Client, job: Submitted) -> Seen:
    """Ask the Hub for a job.

    Raises:
        DeviceError: the Hub cannot be reached, or refuses.
    """
    if not job.id:
        return Seen(job, "unknown", "", None)
    found = job_there(client, job.id)
    if found is None:
        return Seen(job, "gone", "", None)
    one = body(found)
    device = one.device.name if "device" in one.DESCRIPTOR.fields_by_name else ""
    return Seen(job, state_of(one).lower().replace("_", " "), device, _seconds(one))


def _seconds(one: "pb.CompileJob | Any") -> float | None:
    if not one.HasField("creation_time"):
        return None
    ended = one.completion_time.ToNanoseconds() / 1e9 if one.HasField("completion_time") else time.time()
    return float(max(0.0, ended - one.creation_time.ToNanoseconds() / 1e9))
