"""What was deployed where, in data/09_fleet: one file a model, whole at any time, and the bundles it speaks of."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import json_bytes, write_atomically
from edge_pipeline.fleet.errors import DeployError
from edge_pipeline.fleet.rollout import Plan, State

FOLDER = Path("data") / "09_fleet"


@dataclass(frozen=True)
class Entry:
    """What is known of a board: the release that it has or shall have, and how that went.

    Attributes:
        state: see `State`.
        version: of the release.
        bundle: its SHA-256.
        message: in words.
        at: when, ISO 8601.
    """

    state: State
    version: int
    bundle: str
    message: str
    at: str


@dataclass(frozen=True)
class Rollout:
    """A deployment that was begun and has not ended: killed, or still running."""

    bundle: str
    boards: tuple[str, ...]
    plan: Plan
    older: bool


@dataclass(frozen=True)
class Record:
    """All deployments of one model."""

    boards: Mapping[str, Entry] = field(default_factory=dict)
    rollout: Rollout | None = None

    def of(self, name: str, entry: Entry) -> "Record":
        """Return the record with a new entry of one board."""
        return replace(self, boards={**self.boards, name: entry})


_RECORD = TypeAdapter(Record)


class Records:
    """The records of a project; `root` is its folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    def models(self) -> list[str]:
        """Return the models of which anything was deployed."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def read(self, model: str) -> Record:
        """Return the record of a model, an empty one if nothing was deployed.

        Raises:
            StorageError: it is damaged.
        """
        path = self._path(model)
        if not path.is_file():
            return Record()
        try:
            return _RECORD.validate_json(path.read_bytes())
        except ValidationError as error:
            raise StorageError(
                f"{path} is damaged ({error.errors()[0]['msg']}). Move it away: `kedro edge fleet` asks the boards "
                "themselves, and `kedro edge deploy` writes it anew"
            ) from error

    def write(self, model: str, record: Record) -> None:
        """Replace the record of a model.

        Raises:
            StorageError: the disk is full or the folder not writable; the old record stays.
        """
        write_atomically(self._path(model), json_bytes(_RECORD.dump_python(record, mode="json")))

    def keep(self, digest: str, data: bytes) -> None:
        """Keep a bundle, for boards that are away."""
        path = self._bundle(digest)
        if not path.is_file():
            write_atomically(path, data)

    def bundle(self, digest: str) -> bytes:
        """Return a bundle that was kept.

        Raises:
            DeployError: it is not there any more.
        """
        try:
            return self._bundle(digest).read_bytes()
        except OSError as error:
            raise DeployError(f"{self._bundle(digest)} is gone; deploy with --bundle FILE again") from error

    def tidy(self) -> None:
        """Delete the bundles that nothing waits for."""
        needed = set()
        for model in self.models():
            record = self.read(model)
            needed |= {one.bundle for one in record.boards.values() if one.state == "pending"}
            needed |= {record.rollout.bundle} if record.rollout else set()
        for path in self._folder.glob("bundles/*.edge"):
            if path.stem not in needed:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, model: str) -> Iterator[None]:
        """Keep other processes of this project from deploying the model meanwhile.

        Raises:
            DeployError: one does.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f".{model}.lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout:
            raise DeployError(
                f"another process deploys '{model}' now ({lock.lock_file} is held); wait for its end"
            ) from None

    def _path(self, model: str) -> Path:
        return self._folder / f"{model}.json"

    def _bundle(self, digest: str) -> Path:
        return self._folder / "bundles" / f"{digest}.edge"
