"""Wait for what happens on a board, from any thread, so that all of it can be ended at once."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_guard = threading.Lock()
_running: set[tuple[asyncio.AbstractEventLoop, "asyncio.Task[Any]"]] = set()
_stopped = threading.Event()


def wait_for(job: Coroutine[Any, Any, T]) -> T:
    """Run `job` to its end and return its result.

    Raises:
        asyncio.CancelledError: `stop_all` was called; the job has cleaned up after itself.
    """

    async def registered() -> T:
        task = asyncio.current_task()
        assert task
        entry = asyncio.get_running_loop(), task
        with _guard:
            _running.add(entry)
        try:
            if _stopped.is_set():
                job.close()
                raise asyncio.CancelledError
            return await job
        finally:
            with _guard:
                _running.discard(entry)

    return asyncio.run(registered())


def stop_all() -> None:
    """Cancel all jobs of all threads, and those that are still to come until `allow` is called."""
    _stopped.set()
    with _guard:
        for loop, task in _running:
            loop.call_soon_threadsafe(task.cancel)


def allow() -> None:
    """Let jobs run again."""
    _stopped.clear()
