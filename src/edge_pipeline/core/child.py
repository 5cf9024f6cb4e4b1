"""Run native code that may crash, hang or leave memory behind in a process of its own."""

import contextlib
import ctypes
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_NO_MEMORY = ("MemoryError", "bad_alloc", "Cannot allocate memory", "out of memory")


class ChildError(Exception):
    """The child crashed, reported an error, or ran out of time. The message ends with what it said last.

    Attributes:
        output: everything that it said.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def run_child(
    module: str,
    arguments: Sequence[str],
    *,
    time_limit_s: float,
    environment: Mapping[str, str] | None = None,
    memory_limit_mb: int | None = None,
    tick: Callable[[float], None] | None = None,
) -> str:
    """Run `python -m module arguments`, wait for it, and return what it said.

    The child has its own process group, which is killed as a whole when the time is over or this process is
    interrupted. It must call `die_with_parent` first, so that it does not outlive a killed parent.

    Args:
        module: dotted name of a module with a `__main__` part.
        arguments: its command line.
        time_limit_s: seconds until it is killed.
        environment: variables set for it on top of this process's.
        memory_limit_mb: data in 10^6 bytes that it may allocate.
        tick: called about once a second with the seconds that have passed.

    Raises:
        ChildError: exit status other than 0, death by a signal, memory or time over.
    """
    limit = {} if memory_limit_mb is None else {"EDGE_PIPELINE_MEMORY_MB": str(memory_limit_mb)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {}), **limit, "EDGE_PIPELINE_PARENT": str(os.getpid())},
        )
        try:
            status = _wait(process, time_limit_s, tick)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise ChildError(f"it was stopped after its time limit of {time_limit_s:g} s", _said(output)) from None
        except BaseException:
            _kill(process)
            raise
        said = _said(output)
        if status == 0:
            return said
        cause = _cause(status)
        if memory_limit_mb is not None and any(word in said for word in _NO_MEMORY):
            cause = f"it needed more memory than its limit of {memory_limit_mb} MB ({cause})"
        raise ChildError(f"{cause}{': ' if said else ''}{said[-1500:]}", said)


def _wait(process: "subprocess.Popen[bytes]", time_limit_s: float, tick: Callable[[float], None] | None) -> int:
    if tick is None:
        return process.wait(timeout=time_limit_s)
    started = time.monotonic()
    while True:
        left = time_limit_s - (time.monotonic() - started)
        try:
            return process.wait(timeout=max(0.0, min(1.0, left)))
        except subprocess.TimeoutExpired:
            if left <= 1.0:
                raise
        tick(time.monotonic() - started)


def _said(output: Any) -> str:
    output.seek(0)
    text: str = output.read().decode(errors="replace")
    return text.strip()


def die_with_parent() -> None:
    """Keep to the memory limit, and ask the kernel to end this process when the one that started it ends.

    Linux only; elsewhere a no-op.
    """
    limit = os.environ.get("EDGE_PIPELINE_MEMORY_MB")
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (int(limit) * 10**6,) * 2)
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get("EDGE_PIPELINE_PARENT")
    if parent and os.getppid() != int(parent):
        os._exit(1)


def memory_left_mb() -> float:
    """Return the data in 10^6 bytes that this process may still allocate; infinite without a limit.

    Linux only; elsewhere infinite.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    status = Path("/proc/self/status")
    if limit == resource.RLIM_INFINITY or not status.is_file():
        return math.inf
    used = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData:"))
    return (limit - used * 1024) / 1e6


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _cause(status: int) -> str:
    if status < 0:
        named = {one.value: one.name for one in signal.Signals}
        return f"it died of {named.get(-status, f'signal {-status}')}"
    return f"it ended with exit status {status}"
