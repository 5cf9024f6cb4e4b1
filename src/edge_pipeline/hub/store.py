"""Models, datasets and jobs on disk: what a hub knows, it knows after a restart too."""

import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.files import remove_temporaries, write_atomically
from edge_pipeline.hub.errors import RefusedError

KINDS: dict[str, Any] = {"models": pb.Model, "datasets": pb.Dataset, "jobs": pb.Job}
RECORD, FILE, DIGEST = "record.pb", "file", "file.sha256"

DATASET_DAYS = 30
"""Datasets are deleted after this time, unless the client wants them permanent."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID = re.compile(r"[a-z0-9]{9}")


class Store:
    """A folder `<kind>/<id>/` for every model, dataset and job, with its protobuf message and its files.

    Messages are returned as copies and changed with `update` only, so threads may share a store.

    Args:
        folder: is made if it is missing. One process at a time may have it.
        capacity: bytes that all files together may have.

    Raises:
        StorageError: another hub has the folder, it cannot be written, or a record in it is damaged.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self.folder, self._capacity = folder, capacity
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True)
            self._owner = FileLock(folder / ".lock", thread_local=False)
            self._owner.acquire(timeout=0)
        except Timeout as error:
            raise StorageError(f"another hub serves {folder}; end it, or choose another folder") from error
        except OSError as error:
            raise StorageError(f"the hub cannot use {folder}: {error.strerror or error}; choose another") from error
        self._lock = threading.RLock()
        remove_temporaries(folder)
        self._records = {kind: self._read(kind) for kind in KINDS}
        self.expire()

    def close(self) -> None:
        """Let another process have the folder."""
        self._owner.release()

    def add(self, kind: str, message: Any) -> str:
        """Keep `message` as a new record, whose id it gets, and return that."""
        name = kind[0] + "".join(secrets.choice(_ALPHABET) for _ in range(8))
        if isinstance(message, pb.Job):
            setattr(body(message), f"{message.WhichOneof('job')}_id", name)
        else:
            setattr(message, f"{kind[:-1]}_id", name)
        with self._lock:
            self._write(kind, name, message)
        return name

    def get(self, kind: str, name: str) -> Any:
        """Return the message of a record.

        Raises:
            RefusedError: there is none of this id.
        """
        with self._lock:
            if name not in self._records[kind]:
                raise RefusedError(404, f"this hub has no {kind[:-1]} '{name[:40]}'")
            return KINDS[kind].FromString(self._records[kind][name])

    def update(self, kind: str, name: str, change: Callable[[Any], object], *, lasting: bool = True) -> Any:
        """Let `change` alter the message of a record in place, keep it, and return it.

        One that is not `lasting` is forgotten with the process: for a disk that takes nothing more.

        Raises:
            StorageError: it cannot be written; nothing has changed.
        """
        with self._lock:
            message = self.get(kind, name)
            change(message)
            if lasting:
                self._write(kind, name, message)
            else:
                self._records[kind][name] = message.SerializeToString()
        return message

    def discard(self, kind: str, name: str) -> None:
        """Delete a record and its files."""
        with self._lock:
            self._records[kind].pop(name, None)
            shutil.rmtree(self.folder / kind / name, ignore_errors=True)

    def all(self, kind: str) -> list[tuple[str, Any]]:
        """Return ids and messages of all records."""
        with self._lock:
            return [(name, KINDS[kind].FromString(data)) for name, data in self._records[kind].items()]

    def path(self, kind: str, name: str, file: str = FILE) -> Path:
        """Return where a file of a record is, or will be.

        Raises:
            RefusedError: there is no record of this id.
        """
        self.get(kind, name)
        return self.folder / kind / name / file

    def expire(self) -> None:
        """Delete the datasets whose time is over."""
        with self._lock:
            for name, record in self.all("datasets"):
                if not record.permanent and record.expiration_time.seconds < time.time():
                    del self._records["datasets"][name]
                    shutil.rmtree(self.folder / "datasets" / name)

    def check_room(self, wanted: int) -> None:
        """Check that `wanted` more bytes may be kept.

        Raises:
            RefusedError: they may not.
        """
        self.expire()
        used = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        free = min(self._capacity - used, shutil.disk_usage(self.folder).free)
        if wanted > free:
            raise RefusedError(
                413,
                f"{wanted / 1e6:.1f} MB do not fit: this hub holds {used / 1e6:.1f} MB and has {max(free, 0) / 1e6:.1f}"
                " MB left. Ask whoever runs it to make room.",
            )

    def _read(self, kind: str) -> dict[str, bytes]:
        found = {}
        for path in (self.folder / kind).glob(f"*/{RECORD}"):
            try:
                message, data = KINDS[kind](), path.read_bytes()
                message.ParseFromString(data)
            except Exception as error:
                raise StorageError(f"{path} is damaged ({error}); delete its folder and start the hub again") from error
            if _ID.fullmatch(path.parent.name):
                found[path.parent.name] = (message, data)
        by_age = sorted(found.items(), key=lambda item: created(item[1][0]))
        return {name: data for name, (_, data) in by_age}

    def _write(self, kind: str, name: str, message: Any) -> None:
        data = message.SerializeToString()
        write_atomically(self.folder / kind / name / RECORD, data)
        self._records[kind][name] = data


def new_dataset(name: str, permanent: bool = False) -> pb.Dataset:
    """Return the message of a dataset that is made now."""
    found = pb.Dataset(name=name, permanent=permanent)
    found.creation_time.GetCurrentTime()
    if not permanent:
        found.expiration_time.FromSeconds(found.creation_time.seconds + DATASET_DAYS * 86_400)
    return found


def body(job: pb.Job) -> Any:
    """Return the message of a job that is of its own kind."""
    return getattr(job, job.WhichOneof("job") or "compile_job")


def created(message: Any) -> tuple[int, int]:
    """Return seconds and nanoseconds at which a record was made."""
    made = (body(message) if isinstance(message, pb.Job) else message).creation_time
    return made.seconds, made.nanos
