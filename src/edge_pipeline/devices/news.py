"""Read the events of a device's agent. They come from a board: nothing in them is trusted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Tell = Callable[[str], None]
"""Takes what a device is doing, in words."""

LONGEST = 300
"""Characters of a line, at most."""

MOST, MOST_BYTES = 100_000, 2**20
"""Events of a job that are shown, and their bytes, at most."""

Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Event(BaseModel):
    """What the agent does, and how much of how much is done."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    doing: Literal["importing", "idle", "loading", "warming up", "measuring", "sustained run", "inferring", "profiling"]
    done: Number | None = None
    total: Number | None = None
    unit: Literal["", "s"] = ""

    @property
    def words(self) -> str:
        """The event as it is shown: `measuring 40/100`, `sustained run 30 s of 120 s`."""
        if self.done is None:
            return self.doing
        if self.total is None:
            return f"{self.doing} {self.done:.0f}{' ' * bool(self.unit)}{self.unit}"
        if self.unit:
            return f"{self.doing} {self.done:.0f} {self.unit} of {self.total:.0f} {self.unit}"
        return f"{self.doing} {self.done:.0f}/{self.total:.0f}"


def words(line: str) -> str | None:
    """Return what a line of the agent's file tells; `None` for anything else."""
    if len(line) > LONGEST:
        return None
    try:
        return Event.model_validate(json.loads(line)).words
    except (ValueError, ValidationError, RecursionError):
        return None


class Following:
    """Follows a file of events on this machine.

    Args:
        path: the file, which need not be there yet.
        tell: is told the last of what is new.
    """

    def __init__(self, path: Path, tell: Tell) -> None:
        self._path, self._tell, self._seen = path, tell, 0

    def look(self, _seconds: float = 0.0) -> None:
        """Read what is new; the seconds since the beginning do not matter."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._seen)
                found = file.read(2**16)
        except OSError:
            return
        whole = found[: found.rfind(b"\n") + 1]
        self._seen += len(whole)
        told = [one for line in whole.decode("ascii", "replace").splitlines() if (one := words(line))]
        if told:
            self._tell(told[-1])


class News:
    """Hears what a board passes on of a job's events, in parts that may end anywhere.

    Attributes:
        seen: bytes of the events that need not be passed on again.
    """

    def __init__(self, tell: Tell) -> None:
        self.seen = 0
        self._tell, self._rest, self._left = tell, "", MOST

    def hear(self, part: str) -> None:
        """Take a part of what the board prints, and tell the last of what is new; anything else is passed over."""
        *lines, self._rest = (self._rest + part).split("\n")
        self._rest = self._rest[-2 * LONGEST :]
        told = ""
        for line in lines:
            told = self._passed_on(line) or told
        if told and self._left > 0:
            self._left -= 1
            self._tell(told)

    def _passed_on(self, line: str) -> str | None:
        if len(line) > 2 * LONGEST:
            return None
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict) or found.keys() != {"event", "seen"}:
            return None
        if not isinstance(found["event"], str) or type(found["seen"]) is not int or found["seen"] <= self.seen:
            return None
        self.seen = min(found["seen"], MOST_BYTES)
        return words(found["event"])
