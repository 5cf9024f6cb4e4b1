"""Faults that tests of clients ask a hub for; without any it behaves well."""

import re
import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What happens to the next request whose `METHOD /path` matches `request`, a regular expression.

    Attributes:
        request: searched for in the request's first line.
        status: what is answered, or `None`: the connection is cut in the middle of the answer.
        after: whether the work is done first, so that only its answer is lost.
    """

    request: str
    status: int | None
    after: bool = False


class Faults:
    """A list of faults, each of which happens once."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        """Let these happen, to one request after the other."""
        with self._lock:
            self._waiting.extend(faults)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault for a request, which does not happen again."""
        with self._lock:
            for fault in self._waiting:
                if re.search(fault.request, f"{method} {path}"):
                    self._waiting.remove(fault)
                    return fault
        return None
