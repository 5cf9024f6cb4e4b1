"""One file that holds others: a zip without compression, of which equal files give equal bytes."""

import io
import re
import stat
import zipfile
from collections.abc import Mapping

from edge_pipeline.fleet.errors import BundleError

NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}/){0,6}[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
"""Names of files in an archive; none that leads out of a folder, is hidden or absolute."""

MOST_FILES = 5000


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of `files`, by name.

    Raises:
        BundleError: a name is not one that an archive may hold.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as opened:
        for name, data in sorted(files.items()):
            if not NAME.fullmatch(name):
                raise BundleError(f"the file '{name}' cannot be in a bundle; rename it to plain letters and digits")
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            opened.writestr(entry, data)
    return buffer.getvalue()


def unarchive(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive that anybody may have made; nothing is written.

    Raises:
        BundleError: it is truncated or damaged, or holds what no bundle does.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            entries = opened.infolist()
            _check(entries, len(data))
            files = {entry.filename: opened.read(entry) for entry in entries}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise BundleError(
            f"it is truncated or damaged, or no bundle at all ({str(error)[:100]}); fetch it once more"
        ) from error
    if archive(files) != data:
        raise BundleError("it was altered: there is more in it than its files; take the bundle from where it was made")
    return files


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse names, kinds and sizes that no bundle has."""
    if len(entries) > MOST_FILES:
        raise BundleError(f"it holds {len(entries)} files, more than the {MOST_FILES} that a bundle can have")
    names = [entry.filename for entry in entries]
    for entry in entries:
        name = entry.filename[:100]
        if not NAME.fullmatch(entry.filename):
            raise BundleError(f"it holds a file with a forbidden name, {name!r}, which could lead out of its folder")
        if names.count(entry.filename) > 1:
            raise BundleError(f"it holds two files of the name {name!r}")
        if not stat.S_ISREG(entry.external_attr >> 16) and stat.S_IFMT(entry.external_attr >> 16):
            raise BundleError(f"it holds a link or another special file, {name!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise BundleError(f"it holds a compressed file, {name!r}; bundles have none, so that none can grow")
    if sum(entry.file_size for entry in entries) > size:
        raise BundleError("its files are larger than itself")
