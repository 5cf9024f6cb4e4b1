"""Only one run at a time may write a project's data."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from edge_pipeline.core.errors import ProjectBusyError
from edge_pipeline.core.files import disk_errors


class ProjectLock:
    """A lock that the operating system lets go when its process ends, however it ends."""

    def __init__(self, root: Path) -> None:
        self._path = root / "data" / ".run.lock"
        self._owner = self._path.with_suffix(".pid")
        self._lock = FileLock(self._path, timeout=0)

    def take(self) -> None:
        """Take the lock.

        Raises:
            ProjectBusyError: another run holds it.
        """
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire()
            except Timeout:
                owner = self._owner.read_text().strip() if self._owner.is_file() else "unknown"
                raise ProjectBusyError(
                    f"another run (process {owner}) is working in {self._path.parent.parent}; nothing was changed. "
                    "Wait for it to end, or stop it, and run the same command again."
                ) from None
            self._owner.write_text(str(os.getpid()))

    def release(self) -> None:
        """Let the lock go."""
        self._lock.release()
