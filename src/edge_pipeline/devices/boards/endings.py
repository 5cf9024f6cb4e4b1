"""Say why a job or a step on a board failed, and what to do."""

import re
import signal
from collections.abc import Mapping
from typing import Any

from edge_pipeline.core.errors import DeviceError, DeviceTrouble

_NO_MEMORY = (
    "memoryerror",
    "bad_alloc",
    "cannot allocate memory",
    "out of memory",
    "failed to allocate memory",
    "memory allocation still failed",
    "failed to map segment from shared object",
)
_SAID = 1500

_OWN = re.compile(r"^edge_pipeline[\w.]*: ")
"""What Python puts before the message of an error of our own."""

_PACKAGES = {"ai_edge_litert": "ai-edge-litert", "onnxruntime_qnn": "onnxruntime-qnn"}
"""Names of packages that differ from those of their modules."""


def failure(found: Mapping[str, Any], time_limit_s: float, python: str) -> DeviceError | None:
    """Return what to tell of a job that ended, `None` of one that did well.

    Args:
        found: the answer of the step `state`; a board may have put anything into it.
        time_limit_s: of the job.
        python: the board's command.
    """
    status = found.get("exit_status")
    said = last_words(str(found.get("log", "")))
    if found.get("timed_out"):
        return DeviceError(f"the job was stopped after its time limit of {time_limit_s:g} s: {said}", "timeout")
    if status == 0:
        return None
    why = hint(said, python, full=found.get("free_mb") == 0)
    if status is None:
        ended = "the job ended without a result; " + (why or "was the board restarted, or its process killed there?")
        why = ""
    else:
        ended = f"the agent {_ended(status)}"
        if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
            why = why or f"the kernel does that when memory is short; {_MEMORY}"
    passes: DeviceTrouble | None = None if isinstance(status, int) and 0 < status < 128 else "killed"
    return DeviceError(": ".join(one for one in (ended, why, said) if one), passes)


MAKE_ROOM = "delete something there, or lower `cache_mb` of the device"
_MEMORY = "end other programs on the board, or take a smaller model"


def hint(said: str, python: str, *, full: bool = False) -> str:
    """Return the cause that a program's last words tell, with what to do; nothing where they tell none."""
    if any(word in said.lower() for word in _NO_MEMORY) and "not permitted" not in said:
        return f"the board's memory was short; {_MEMORY}"
    if full or "No space left on device" in said:
        return f"the board's disk is full; {MAKE_ROOM}"
    missing = re.search(r"No module named '(\w+)", said)
    if missing:
        package = _PACKAGES.get(missing[1], missing[1])
        return f"the board's Python has no {package}; install it there: `{python} -m pip install {package}`"
    return ""


def last_words(log: str) -> str:
    """Return the end of what a program said, of a traceback the error alone."""
    lines = log.strip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        after = (number for number in range(frames[-1], len(lines)) if not lines[number].startswith(" "))
        lines = lines[next(after, frames[-1]) :]
    return _OWN.sub("", "\n".join(lines))[-_SAID:]


def _ended(status: Any) -> str:
    names = {one.value: one.name for one in signal.Signals}
    if isinstance(status, int) and -status in names:
        return f"was ended by {names[-status]}"
    return f"ended with exit status {str(status)[:20]}"
