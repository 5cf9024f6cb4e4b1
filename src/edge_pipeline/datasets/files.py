"""Files of a dataset, on the local disk or wherever fsspec reaches: `s3://`, `memory://`, `zip://::/data/x.zip`.

A location is a plain string, so that it can be pickled. Local paths never touch fsspec.
"""

import contextlib
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from edge_pipeline.core.errors import DatasetError

BLOCK = 1 << 20
THREADS = 8
_ARCHIVES = ("zip", "tar")

T = TypeVar("T")
R = TypeVar("R")


def location(path: str | Path) -> str:
    """Return `path` as the other functions take it; `file://` URLs and `~` become local paths."""
    text = str(path).removeprefix("file://")
    if text.partition("::")[0] in _ARCHIVES:
        text = text.replace("::", "://::", 1)
    return text if is_remote(text) else str(Path(text).expanduser())


def is_remote(place: str) -> bool:
    """Tell whether a location is fsspec's to read."""
    return "://" in place or "::" in place


def join(place: str, *names: str) -> str:
    """Return the location of something below `place`; in a chain such as `zip://::x.zip`, inside the archive."""
    if not is_remote(place):
        return str(Path(place, *names))
    before, path, after = _parts(place)
    return before + "/".join([path.rstrip("/"), *names] if path else names) + after


def with_path(place: str, change: Callable[[str], str]) -> str:
    """Return a location with another path, of the same archive or store."""
    before, path, after = _parts(place)
    return before + change(path) + after


def parent(place: str) -> str:
    """Return the folder that holds what is at `place`."""
    return with_path(place, lambda path: path.rstrip("/").rpartition("/")[0])


def relative(place: str, folder: str) -> str:
    """Return the path of `place` below `folder`, or its whole path if it is not below it."""
    return _parts(place)[1].removeprefix(_parts(folder)[1].rstrip("/") + "/").lstrip("/")


def open_file(place: str) -> IO[bytes]:
    """Open for reading.

    Raises:
        OSError: it is not there or cannot be read.
        DatasetError: the store cannot be reached.
    """
    if not is_remote(place):
        return Path(place).open("rb")
    with _answering(place) as (system, path):
        return cast(IO[bytes], system.open(path, "rb"))


def is_file(place: str) -> bool:
    """Tell whether a file is there."""
    if not is_remote(place):
        return Path(place).is_file()
    with _answering(place) as (system, path):
        return bool(system.isfile(path))


def is_folder(place: str) -> bool:
    """Tell whether a folder is there."""
    if not is_remote(place):
        return Path(place).is_dir()
    with _answering(place) as (system, path):
        return not path.strip("/") or bool(system.isdir(path))


def folders(place: str) -> list[str]:
    """Return the names of the folders in a folder, in alphabetical order, hidden ones left out.

    Raises:
        DatasetError: it cannot be listed.
    """
    with _listing(place):
        if not is_remote(place):
            with os.scandir(place) as entries:
                return sorted(one.name for one in entries if not _hidden(one.name) and one.is_dir())
        with _answering(place) as (system, path):
            listed = [one["name"].rstrip("/") for one in system.ls(path) if one["type"] == "directory"]
        return sorted(name for name in (one.rpartition("/")[2] for one in listed) if name and not _hidden(name))


def tree(place: str, suffixes: Iterable[str]) -> list[str]:
    """Return the files below a folder that end in one of `suffixes` (lower case), as sorted paths relative to it.

    Hidden files and folders are left out. Links to folders are followed, but never in a circle.

    Raises:
        DatasetError: it cannot be listed.
    """
    wanted = frozenset(suffixes)
    with _listing(place):
        every = _remote_tree(place) if is_remote(place) else _local_tree(place, "", ())
        found = [name for name in every if PurePosixPath(name).suffix.lower() in wanted]
    return sorted(found, key=lambda name: name.split("/"))


def each(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield `function` of every item in order, computed by a few threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(items), 4096):
            yield from pool.map(function, items[start : start + 4096])


def content_hash(files: Sequence[tuple[str, str]], labels: Iterable[bytes]) -> str:
    """Return the SHA-256 over names, sizes and bytes of `files`, in their order, and over `labels`.

    Args:
        files: (name, location); the name does not change when the dataset is moved.
        labels: everything else that makes the dataset what it is.

    Raises:
        DatasetError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for (name, _), (size, digest) in zip(files, each(_digest, [place for _, place in files]), strict=True):
        whole.update(f"{len(name.encode())}:{name}:{size}:".encode() + digest)
    for label in labels:
        whole.update(f"{len(label)}:".encode() + label)
    return whole.hexdigest()


def _digest(place: str) -> tuple[int, bytes]:
    digest, size = hashlib.sha256(), 0
    try:
        with open_file(place) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise DatasetError(f"cannot read {place}: {error}. Repair or remove the file.") from error
    return size, digest.digest()


def _local_tree(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            if entry.is_dir():
                yield from _local_tree(entry.path, f"{prefix}{entry.name}/", (*above, here))
            else:
                yield prefix + entry.name


def _remote_tree(place: str) -> Iterator[str]:
    with _answering(place) as (system, path):
        root, found = path.strip("/"), system.find(path)
    for one in found:
        relative = one.strip("/")[len(root) :].lstrip("/")
        if not any(_hidden(part) for part in relative.split("/")):
            yield relative


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _parts(place: str) -> tuple[str, str, str]:
    """Cut a location around the path: (`zip://`, `a/b.png`, `::/data/x.zip`)."""
    links = place.split("::")
    at = next((i for i, link in enumerate(links) if "://" in link), len(links) - 1)
    protocol, slashes, path = links[at].rpartition("://")
    return "::".join([*links[:at], protocol + slashes]), path, "".join(f"::{link}" for link in links[at + 1 :])


@contextlib.contextmanager
def _listing(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"cannot list the folder {place}: {error}") from error


@contextlib.contextmanager
def _answering(place: str) -> Iterator[tuple[Any, str]]:
    """Give fsspec's file system and the path in it; what is raised there becomes a `DatasetError`, or an `OSError`."""
    try:
        before, path, after = _parts(place)
        if before.removesuffix("://") in _ARCHIVES and after:
            yield _archive(before + after, os.getpid(), threading.get_ident()), path
        else:
            yield _connect(place)
    except (OSError, DatasetError):
        raise
    except Exception as error:  # every store has exceptions of its own
        raise DatasetError(f"cannot reach {place}: {type(error).__name__}: {error}") from error


@functools.lru_cache(maxsize=64)
def _archive(place: str, process: int, thread: int) -> Any:
    """Open an archive once a process and thread: a file position shared with another one would mix up their reads."""
    return _connect(place)[0]


def _connect(place: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(place)
    except ImportError as error:
        raise DatasetError(f"cannot open {place}: {error} (`pip install` it into this environment).") from error
    except ValueError as error:
        raise DatasetError(f"cannot open {place}: {error}. Correct the start of the path in models.yml.") from error
    except Exception as error:  # every store has exceptions of its own
        raise DatasetError(f"cannot open {place}: {error}. Correct the path in models.yml.") from error
    return system, str(path)
