"""A release on a board: its files, whether they are the ones that were signed, and what is noted of it.

Given to the board's Python together with onboard.py: standard library only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

from edge_pipeline.fleet.ed25519 import verify

MANIFEST, SIGNATURE, DEPLOYED = "manifest.json", "signature.json", "deployed.json"
BLOCK = 2**20


class RefusedError(Exception):
    """The step is not done, for this reason; the board is as it was."""


def signed(manifest: bytes, signature: bytes, trusted: list[str]) -> dict[str, Any]:
    """Return the manifest, which one of the trusted keys signed."""
    sign = json.loads(signature)
    keys = [bytes.fromhex(one) for one in trusted]
    key = next((one for one in keys if hashlib.sha256(one).hexdigest()[:16] == sign["key"]), None)
    if key is None:
        raise RefusedError(f"the bundle is foreign: it is signed by {str(sign['key'])[:40]}, which is not trusted")
    if not _verified(key, bytes.fromhex(sign["signature"]), manifest):
        raise RefusedError("the bundle was tampered with: the signature is not that of its manifest")
    found: dict[str, Any] = json.loads(manifest)
    return found


def _verified(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return verify(key, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def unpack(parcel: zipfile.ZipFile, manifest: dict[str, Any], slug: str, part: Path) -> None:
    """Write the files of one target, which the manifest names; the names in the parcel decide nothing."""
    part.mkdir()
    for name, wanted in _wanted(manifest, slug).items():
        path = part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with parcel.open(f"targets/{slug}/{name}") as source, path.open("wb") as file:
            left = wanted["bytes"]
            while left > 0 and (block := source.read(min(BLOCK, left))):
                file.write(block)
                left -= len(block)
            file.flush()
            os.fsync(file.fileno())
        flush(path.parent)


def _wanted(manifest: dict[str, Any], slug: str) -> dict[str, Any]:
    prefix = f"targets/{slug}/"
    found = {name[len(prefix) :]: one for name, one in manifest["files"].items() if name.startswith(prefix)}
    if not found or any(".." in name.split("/") or name.startswith("/") for name in found):
        raise RefusedError(f"the bundle has no target {slug}")
    return found


def damage(release: Path) -> str:
    """Return what is wrong with the files of a release; nothing if all are the ones that were signed."""
    try:
        manifest = json.loads((release / MANIFEST).read_bytes())
        for name, wanted in _wanted(manifest, deployed(release)["slug"]).items():
            digest = hashlib.sha256()
            with (release / name).open("rb") as file:
                for block in iter(lambda: file.read(BLOCK), b""):
                    digest.update(block)
            if digest.hexdigest() != wanted["sha256"]:
                return f"{name} is not the file that was signed"
    except (OSError, ValueError, KeyError, RefusedError) as error:
        return str(error)[:200] or type(error).__name__
    return ""


def deployed(release: Path) -> dict[str, Any]:
    """Return what is noted of a release: its target, the release before it, since when it is used, its health."""
    found: dict[str, Any] = json.loads((release / DEPLOYED).read_bytes())
    return found


def note(release: Path, **more: Any) -> None:
    """Add to what is noted of a release; the file is whole at any time."""
    part = release / ".deployed.part"
    write(part, json.dumps({**deployed(release), **more}).encode())
    part.replace(release / DEPLOYED)
    flush(release)


def write(path: Path, data: bytes) -> None:
    """Write a file that is on the disk afterwards."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush(folder: Path) -> None:
    """Let the names in a folder reach the disk, where its file system can do that."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
