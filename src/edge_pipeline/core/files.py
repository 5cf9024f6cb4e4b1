"""Write files so that nobody ever reads half of one: temporary name, flush, rename."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import StorageError


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def json_bytes(value: Any) -> bytes:
    """Serialise to canonical JSON (sorted keys, no NaN), so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = _free_mb(path)
            raise StorageError(
                f"the disk is full: writing {path} failed with {free} MB free. Nothing half-written was kept. "
                "Free some space and run the same command again."
            ) from error
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. Check that the folder exists and is writable."
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` under a temporary name, flush it to disk, then rename.

    Raises:
        StorageError: the disk is full or the folder is not writable. Nothing is left behind.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_temporaries(folder: Path) -> int:
    """Delete the temporary files that a killed run left under `folder`; return how many."""
    leftovers = list(folder.rglob(".*.tmp"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def _free_mb(path: Path) -> int:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free // 2**20
