"""Keep what the NPU compiler made, by the content of what it was made from."""

import contextlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edge_pipeline.core.files import json_bytes, sha256, write_atomically

MOST = 24
"""Number of compilations that are kept for a model; the ones used longest ago go first."""

_HASH = 64
"""Characters of the hash that a file begins with; a zip file may begin with anything."""


def key(model: bytes, options: Mapping[str, str], tools: Mapping[str, str]) -> str:
    """Return the name of a compilation: the hash of everything that its result depends on."""
    return sha256(json_bytes({"model": sha256(model), "options": dict(options), "tools": dict(tools)}))


def read(cache: Path, key: str) -> dict[str, bytes] | None:
    """Return the files of a compilation; `None` if it was never made, or is damaged."""
    path = cache / f"{key}.zip"
    try:
        kept = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    hashed, data = kept[:_HASH], kept[_HASH:]
    if sha256(data).encode() != hashed:
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(cache: Path, key: str, files: Mapping[str, bytes]) -> None:
    """Keep the files of a compilation.

    Raises:
        StorageError: the disk is full.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    data = buffer.getvalue()
    write_atomically(cache / f"{key}.zip", sha256(data).encode() + data)
    kept = sorted(cache.glob("*.zip"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-MOST]:
        with contextlib.suppress(OSError):
            path.unlink()
