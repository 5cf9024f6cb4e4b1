"""What is known of a model's trainings from one command to the next, and that only one of them goes on at a time."""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from edge_pipeline.core.errors import ProjectBusyError, RetrainError
from edge_pipeline.core.files import disk_errors, write_atomically

Outcome = Literal["released", "refused"]
"""How a training can be over; one that failed is not, and the next command goes on with it."""


class OpenRun(BaseModel):
    """A training that began and is not over.

    `champion` is the version that was the champion then, `reasons` are the triggers as text, `arrived` what the report
    says of new samples, `done` the seconds that each finished step took.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    started: str
    reasons: tuple[str, ...]
    numbers: Mapping[str, float] = {}
    champion: int | None = None
    start: str | None = None
    arrived: Mapping[str, Any] | None = None
    done: Mapping[str, float] = {}


class LastRun(BaseModel):
    """The training that was over last."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    ended: str
    outcome: Outcome


class State(BaseModel):
    """All of it. `used` are the batches of new samples that a training which is over was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    open: OpenRun | None = None
    last: LastRun | None = None
    used: tuple[str, ...] = ()


class Journal:
    """The state of one model on disk, always whole."""

    def __init__(self, root: Path, model: str) -> None:
        self._folder, self._model = root / "data" / "02_intermediate" / model, model
        self.path = self._folder / "retrain.json"

    def read(self) -> State:
        """Return the state; an empty one if there is none.

        Raises:
            RetrainError: the file is damaged.
        """
        if not self.path.is_file():
            return State()
        try:
            return State.model_validate_json(self.path.read_bytes())
        except (ValidationError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise RetrainError(
                f"{self.path} is damaged ({reason}). Delete it: a training that was going on is then forgotten, and "
                "what it took in counts as new."
            ) from error

    def write(self, state: State) -> None:
        """Replace the state."""
        write_atomically(self.path, state.model_dump_json(indent=1).encode())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the model: the operating system lets go when this process ends, however it ends.

        Raises:
            ProjectBusyError: another process holds it; says which.
        """
        path = self._folder / ".retrain.lock"
        owner = path.with_suffix(".owner")
        lock = FileLock(path, timeout=0)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:
                who = owner.read_text().strip() if owner.is_file() else "unknown"
                raise ProjectBusyError(
                    f"'{self._model}' is being trained again already ({who}); nothing was changed. Wait for it to end, "
                    "or stop it, and run the same command again."
                ) from None
        try:
            write_atomically(owner, f"process {os.getpid()} on {socket.gethostname()} since {now()}".encode())
            yield
        finally:
            lock.release()


def now() -> str:
    """Return the time as text, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def new_id() -> str:
    """Return a name for a training that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
