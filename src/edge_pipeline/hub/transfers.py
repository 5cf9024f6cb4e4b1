"""Bodies of requests: bounded ones in memory, files straight to disk."""

import contextlib
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

from edge_pipeline.core.files import disk_errors
from edge_pipeline.hub.errors import RefusedError

MESSAGE_BYTES = 2**23
"""Most that a protobuf message may have; a job with a hundred inputs has kilobytes."""

_HEAD_BYTES = 2**13
_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([0-9A-Za-z_.-]{1,70})"?')


async def whole(chunks: AsyncIterator[bytes], largest: int = MESSAGE_BYTES) -> bytes:
    """Return a body.

    Raises:
        RefusedError: it has more than `largest` bytes.
    """
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > largest:
            raise RefusedError(413, f"the request is larger than {largest} bytes")
    return bytes(found)


async def to_file(chunks: AsyncIterator[bytes], path: Path, largest: int) -> str:
    """Write a body to `path`, which is never half-written, and return its SHA-256 as hexadecimal digits.

    Raises:
        RefusedError: it has more than `largest` bytes.
        StorageError: it cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with disk_errors(path), contextlib.ExitStack() as stack:
        stack.callback(temporary.unlink, missing_ok=True)
        with temporary.open("xb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > largest:
                    raise RefusedError(413, f"the upload is larger than the {largest / 1e6:.1f} MB that this hub takes")
                digest.update(chunk)
                file.write(chunk)
        temporary.replace(path)
    return digest.hexdigest()


async def of_form(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[bytes]:
    """Yield the file that is the only field of a form, multipart/form-data.

    Raises:
        RefusedError: the body is no such form.
    """
    found = _BOUNDARY.fullmatch(content_type)
    if not found:
        raise RefusedError(400, "a dataset is uploaded as a form with its file, multipart/form-data")
    first, last = f"--{found[1]}\r\n".encode(), f"\r\n--{found[1]}--".encode()
    held, inside = b"", False
    async for chunk in chunks:
        held += chunk
        if not inside:
            head, end, rest = held.partition(b"\r\n\r\n")
            if not end and len(held) <= _HEAD_BYTES:
                continue
            if not end or not head.startswith(first):
                break
            held, inside = rest, True
        keep = len(last) + 2
        if len(held) > keep:
            yield held[:-keep]
            held = held[-keep:]
    content, end, rest = held.rpartition(last)
    if not inside or not end or rest.strip():
        raise RefusedError(400, "the uploaded form is cut off or damaged; upload it again")
    yield content
