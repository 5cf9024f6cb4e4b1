"""What was sent to a Hub: written down before and after, so that a run that was killed finds it again."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from edge_pipeline.core.files import disk_errors, json_bytes, sha256, write_atomically

DEFAULT_FOLDER = "~/.cache/edge-pipeline/aihub"


class Ledger:
    """Records of one Hub: a JSON file for everything sent, named by the hash of its content.

    Processes and threads may share a folder.

    Args:
        folder: of all Hubs; is made if it is missing.
        address: of the Hub.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder.expanduser() / re.sub(r"[^A-Za-z0-9.-]+", "_", address)

    def read(self, kind: str, key: str) -> dict[str, Any]:
        """Return a record, which is empty if there is none, or a damaged one."""
        try:
            found = json.loads(self._path(kind, key).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all records of a kind that are whole, in no order."""
        found = [self.read(kind, path.stem) for path in (self._folder / kind).glob("*.json")]
        return [one for one in found if one]

    def write(self, kind: str, key: str, record: dict[str, Any]) -> None:
        """Keep a record.

        Raises:
            StorageError: it cannot be written.
        """
        write_atomically(self._path(kind, key), json_bytes(record))

    @contextlib.contextmanager
    def locked(self, kind: str, key: str) -> Iterator[None]:
        """Let nobody else send the same thing meanwhile.

        Raises:
            StorageError: the folder cannot be written.
        """
        path = self._path(kind, key).with_suffix(".lock")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _path(self, kind: str, key: str) -> Path:
        return self._folder / kind / f"{key}.json"


def key_of(*parts: Any) -> str:
    """Return the hash of what something is made of: values that JSON has."""
    return sha256(json_bytes(list(parts)))
