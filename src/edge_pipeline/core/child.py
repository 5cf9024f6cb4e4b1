"""Run native code that may crash, hang or leave memory behind in a process of its own."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1


class ChildError(Exception):
    """The child crashed, reported an error, or ran out of time. The message ends with what it said last."""


def run_child(
    module: str, arguments: Sequence[str], *, time_limit_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run `python -m module arguments` and wait for it.

    The child has its own process group, which is killed as a whole when the time is over or this process is
    interrupted. It must call `die_with_parent` first, so that it does not outlive a killed parent.

    Args:
        module: dotted name of a module with a `__main__` part.
        arguments: its command line.
        time_limit_s: seconds until it is killed.
        environment: variables set for it on top of this process's.

    Raises:
        ChildError: exit status other than 0, death by a signal, or time over.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {}), "EDGE_PIPELINE_PARENT": str(os.getpid())},
        )
        try:
            status = process.wait(timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise ChildError(f"it was stopped after its time limit of {time_limit_s:g} s") from None
        except BaseException:
            _kill(process)
            raise
        if status != 0:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()[-1500:]
            raise ChildError(f"{_cause(status)}{': ' if said else ''}{said}")


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends. Linux only; elsewhere a no-op."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = os.environ.get("EDGE_PIPELINE_PARENT")
    if parent and os.getppid() != int(parent):
        os._exit(1)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _cause(status: int) -> str:
    if status < 0:
        named = {one.value: one.name for one in signal.Signals}
        return f"it died of {named.get(-status, f'signal {-status}')}"
    return f"it ended with exit status {status}"
