"""Jobs of a Hub: each is submitted once, whatever happens to the answer, and waited for."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.progress import advance, enter, listeners
from edge_pipeline.devices.aihub.client import AnswerLostError, Client, GoneError, RefusedForNowError, pause, pauses
from edge_pipeline.devices.aihub.ledger import Ledger

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

LOOKS = 4
"""How often a job is looked for whose answer was lost: it may be made after the gateway gave up."""

PAST = "past"
"""Key of a record under which the one before it is."""

FIRST_POLL_S, LONGEST_POLL_S = 0.25, 10.0

ENDED = ("DONE", "FAILED")
"""States that a job stays in."""

_log = logging.getLogger(__name__)

_CLOCKS_MAY_DIFFER_S = 3600

_ADVICE = (
    ("TIMEOUT", "the device took too long: take a smaller model or another runtime"),
    ("OUT_OF_MEMORY", "the device has too little memory: take a smaller model or input, or quantize it"),
    ("DEVICE_OOM", "the device has too little memory: take a smaller model or input, or quantize it"),
    ("INVALID_ARGUMENT", "look at `compile.hub_options`"),
    ("INVALID_INPUTS", "the inputs are not those of the compiled model"),
    ("MODEL_", "the Hub cannot use this model: try another runtime, or look at its log on the page"),
    (
        "QNN_",
        "Qualcomm's tools refuse the model: try another QAIRT version in `compile.hub_options` or another runtime",
    ),
    ("UNSUPPORTED", "the Hub does not do this on this device: try another runtime or device"),
    ("CLOUD_", "the Hub had trouble of its own: run the same command again"),
    ("QDC_", "the Hub had trouble of its own: run the same command again"),
    ("INTERNAL_", "the Hub had trouble of its own: run the same command again"),
)


def run(
    client: Client,
    ledger: Ledger,
    kind: str,
    key: str,
    make: Callable[[str], "pb.Job"],
    *,
    target: str,
    time_limit_s: float,
) -> tuple[str, "pb.Job"]:
    """Submit a job, or find the one that was submitted before for the same thing, and wait for it.

    Args:
        client: the account.
        ledger: records of its Hub.
        kind: `compile`, `quantize`, `link`, `profile` or `inference`.
        key: hash of all that the job's result depends on.
        make: returns the job with a name.
        target: shown in messages.
        time_limit_s: seconds at work, without the time that it waits for its turn and for a device.

    Returns: id and message of the job, which succeeded.

    Raises:
        DeviceError: the Hub does not take the job, or it failed or takes too long.
    """
    try:
        name, asked = _submitted(client, ledger, kind, key, make, target)
        return name, _ended(client, name, asked, f"{target}: {kind} on AI Hub, job {name}", time_limit_s)
    except DeviceError as error:
        raise DeviceError(f"{target}: {error}", error.trouble) from error


def forget(ledger: Ledger, kind: str, key: str) -> None:
    """Let the next run submit a new job for the same thing."""
    record = ledger.read(kind, key)
    past = record if "name" in record else record.get(PAST, {})
    ledger.write(kind, key, {"attempt": record.get("attempt", 0), PAST: past})


def body(job: "pb.Job") -> Any:
    """Return the message of a job that is of its own kind."""
    return getattr(job, job.WhichOneof("job") or "compile_job")


def _submitted(
    client: Client, ledger: Ledger, kind: str, key: str, make: Callable[[str], "pb.Job"], target: str
) -> tuple[str, str]:
    """Return id and name of the job for `key`."""
    with ledger.locked(kind, key):
        record = ledger.read(kind, key)
        found = _again(client, record)
        if found is None:
            attempt = int(record.get("attempt", 0)) + 1
            asked = f"edge-pipeline {kind} {key[:16]} {attempt}"
            record = {"attempt": attempt, "name": asked, "since": time.time(), "target": target}
            ledger.write(kind, key, record)
            try:
                found = _created(client, make(asked), record)
            except (asyncio.CancelledError, KeyboardInterrupt):
                _log.warning(
                    "%s: AI Hub was being asked for the job '%s'; if it has it, it goes on there, and the next run "
                    "takes it up",
                    target,
                    asked,
                )
                raise
        if record.get("id") != found:
            ledger.write(kind, key, {**record, "id": found})
        return found, str(record["name"])


def _again(client: Client, record: dict[str, Any]) -> str | None:
    """Return the id of the job that a record tells of, unless it is gone or failed."""
    if "name" not in record:
        return None
    name = record.get("id") or _look(client, record)
    if name is None:
        return None
    job = job_there(client, name)
    return None if job is None or state_of(body(job)) == "FAILED" else name


def _created(client: Client, job: "pb.Job", record: dict[str, Any]) -> str:
    """Ask for a job until there is one, and return its id."""
    for last in pauses():
        try:
            return client.post_job(job)
        except RefusedForNowError as error:
            problem: DeviceError = error
        except AnswerLostError as error:
            problem = error
            found = _sought(client, record)
            if found:
                return found
        if last is None:
            raise DeviceError(f"{problem} (asked {record['name']!r} several times)", problem.trouble) from None
        pause(last)
    raise AssertionError


def _sought(client: Client, record: dict[str, Any]) -> str | None:
    for _, seconds in zip(range(LOOKS), pauses(), strict=False):
        found = _look(client, record)
        if found:
            return found
        pause(seconds or 0)
    return None


def _look(client: Client, record: dict[str, Any]) -> str | None:
    return client.find_job(record["name"], record["since"] - _CLOCKS_MAY_DIFFER_S)


def job_there(client: Client, name: str) -> "pb.Job | None":
    """Return the message of a job, or `None` if the Hub has none of this id, or no longer."""
    from qai_hub import public_rest_api as rest

    try:
        found: pb.Job = client.ask(rest.get_job, name)
    except GoneError:
        return None
    return found


def _ended(client: Client, name: str, asked: str, step: str, time_limit_s: float) -> "pb.Job":
    """Return a job that is done; tell of every state that it is in."""
    for listener in listeners:
        listener.started(step, 1)
    try:
        began, poll, before = None, FIRST_POLL_S, ""
        while True:
            job = job_there(client, name)
            if job is None:
                raise DeviceError(f"the job {name} is gone from AI Hub; run the same command again")
            state = state_of(body(job))
            if state in ENDED:
                advance(step, 0, state.lower())
            if state == "DONE":
                return job
            if state == "FAILED":
                raise DeviceError(_why(client, name, job))
            if state not in ("CREATED", "PROVISIONING_DEVICE"):
                began = began or time.monotonic()
            if began and time.monotonic() - began > time_limit_s:
                raise DeviceError(
                    f"the job {name} took longer than {time_limit_s:g} s on AI Hub: raise `time_limit_s` and run the "
                    f"same command again, which takes up this job. Its page: {client.page(name)}",
                    "timeout",
                )
            if state != before:
                enter(step, state.lower().replace("_", " "))
            before = state
            pause(poll)
            poll = min(LONGEST_POLL_S, 1.5 * poll)
    except (asyncio.CancelledError, KeyboardInterrupt):
        _log.warning(
            "%s ('%s') goes on there, since the Hub's client cannot cancel it; the next run takes it up. Its page: %s",
            step,
            asked,
            client.page(name),
        )
        raise
    finally:
        for listener in listeners:
            listener.ended(step)


def state_of(one: Any) -> str:
    """Return a job's state in the protocol's words; a newer Hub may have others."""
    from qai_hub import public_api_pb2 as pb

    known: dict[int, str] = {value: word.removeprefix("JOB_STATE_") for word, value in pb.JobState.items()}
    return known.get(one.job_state, f"STATE {one.job_state}")


def _why(client: Client, name: str, job: "pb.Job") -> str:
    from qai_hub import public_api_pb2 as pb

    words = {value: word.removeprefix("JOB_FAILURE_TYPE_") for word, value in pb.JobFailureType.items()}
    kind = words.get(job.failure_type, "UNKNOWN")
    advice = next((text for word, text in _ADVICE if word in kind), "its log is on the page")
    said = " ".join(body(job).failure_reason.split())[:600] or "no reason given"
    told = kind.lower().replace("_", " ")
    return f"the job {name} failed on AI Hub ({told}): {said}. Its page: {client.page(name)}. What to do: {advice}"
