"""What a link to a board can do."""

from collections.abc import Callable
from typing import Protocol

from edge_pipeline.core.errors import DeviceError

Heard = Callable[[str], None]
"""Takes a part of what a command prints."""


class LinkLostError(DeviceError):
    """The link was cut; the board may still be at work."""


class Link(Protocol):
    """A connection to a board."""

    async def run(self, command: str, text: str, time_limit_s: float, heard: Heard | None = None) -> str:
        """Run a shell command with `text` as its input and return what it printed.

        `heard` is given each part of that as it comes, maybe by another thread.

        Raises:
            LinkLostError: the link was cut, or the command did not end in time.
            DeviceError: the command failed; names the end of what it said.
        """

    async def send(self, path: str, data: bytes, offset: int) -> None:
        """Write `data` to a file of the board, from byte `offset` on.

        Raises:
            LinkLostError: the link was cut.
            DeviceError: the board refused, for one because its disk is full.
        """

    async def receive(self, path: str, limit: int) -> bytes:
        """Return the content of a file of the board.

        Raises:
            LinkLostError: the link was cut.
            DeviceError: there is no such file, or it has more than `limit` bytes.
        """

    async def close(self) -> None:
        """Close the connection."""
