"""Tell what the agent is doing, for whoever watches: lines of JSON in a file that never grows large."""

import json
import time
from pathlib import Path

MOST_BYTES = 2**16
"""Size at which nothing more is told."""

EVERY_NS = 1_000_000_000
"""Nanoseconds between two events of the same kind: telling takes some ten microseconds, never within what is timed."""


class Events:
    """Writes events to a file; without one it does nothing, and a full disk is no reason to stop measuring."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._size = 0
        self._last = ("", 0)

    def due(self, doing: str, now_ns: int) -> bool:
        """Whether an event would be told now; `now_ns` is of `time.perf_counter_ns`."""
        return self._path is not None and (doing != self._last[0] or now_ns - self._last[1] >= EVERY_NS)

    def tell(self, doing: str, done: float | None = None, total: float | None = None, unit: str = "") -> None:
        """Tell what is done now, how much of how much, in `unit`s (`s`, or nothing for a count)."""
        now = time.perf_counter_ns()
        if self._path is None or not self.due(doing, now):
            return
        self._last = (doing, now)
        event = {"doing": doing, "done": done, "total": total, "unit": unit}
        line = json.dumps({key: value for key, value in event.items() if value not in (None, "")}) + "\n"
        self._size += len(line)
        if self._size > MOST_BYTES:
            self._path = None
            return
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(line)
        except OSError:
            self._path = None
