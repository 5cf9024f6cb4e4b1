"""A link over SSH, with the host's key always verified."""

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.boards.link import Heard, LinkLostError

CONNECT_S = 15.0

ANSWER_MOST = 2**20
"""Characters that a command may print."""


@dataclass(frozen=True)
class Address:
    """Where a board is: `user@host:port`."""

    user: str
    host: str
    port: int = 22

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Return the address that `text` names.

        Raises:
            ValueError: it is not of the form `user@host` or `user@host:port`.
        """
        user, at, rest = text.removeprefix("ssh://").rpartition("@")
        host, _, port = rest.partition(":")
        if not (at and user and host) or (port and not port.isdigit()):
            raise ValueError(f"'{text}' is no address: user@host or user@host:port")
        return cls(user, host, int(port or 22))


class SshLink:
    """An SSH connection and its file transfer."""

    def __init__(self, connection: Any, files: Any) -> None:
        self._connection, self._files = connection, files

    async def run(self, command: str, text: str, time_limit_s: float, heard: Heard | None = None) -> str:
        """See `Link`."""
        import asyncssh

        try:
            async with (
                asyncio.timeout(time_limit_s),
                self._connection.create_process(command, encoding="utf-8", errors="replace") as process,
            ):
                process.stdin.write(text)
                process.stdin.write_eof()
                said, complained = await asyncio.gather(_read(process.stdout, heard), _read(process.stderr))
                await process.wait_closed()
        except TimeoutError as error:
            raise LinkLostError(f"no answer for {time_limit_s:.0f} s") from error
        except (asyncssh.Error, OSError) as error:
            raise LinkLostError(str(error) or type(error).__name__) from error
        if process.exit_status is None:
            raise LinkLostError("the connection ended with the command")
        if process.exit_status != 0:
            raise DeviceError(f"the command ended with exit status {process.exit_status}: {complained.strip()[-600:]}")
        return said

    async def send(self, path: str, data: bytes, offset: int) -> None:
        """See `Link`."""
        import asyncssh

        mode = "r+b" if offset else "wb"
        try:
            async with self._files.open(path, mode) as file:
                await file.write(data, offset)
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
            raise LinkLostError(str(error)) from error
        except asyncssh.SFTPError as error:
            raise DeviceError(
                f"{path} cannot be written: {error.reason or error}; is the board's disk full?"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise LinkLostError(str(error) or type(error).__name__) from error

    async def receive(self, path: str, limit: int) -> bytes:
        """See `Link`."""
        import asyncssh

        try:
            size = (await self._files.stat(path)).size or 0
            if size > limit:
                raise DeviceError(f"{path} has {size} bytes, more than the {limit} that are expected")
            async with self._files.open(path, "rb") as file:
                content = bytes(await file.read(limit + 1))
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
            raise LinkLostError(str(error)) from error
        except asyncssh.SFTPError as error:
            raise DeviceError(f"{path} cannot be read: {error.reason or error}") from error
        except (asyncssh.Error, OSError) as error:
            raise LinkLostError(str(error) or type(error).__name__) from error
        if len(content) != size:
            raise LinkLostError(f"{path} arrived in part")
        return content

    async def close(self) -> None:
        """See `Link`."""
        self._connection.close()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._connection.wait_closed(), 2)


async def _read(stream: Any, heard: Heard | None = None) -> str:
    """Return all that a command says; `heard` is given each part as it comes.

    Raises:
        DeviceError: it says more than an answer can have; it may never end.
    """
    parts: list[str] = []
    while part := await stream.read(2**16):
        parts.append(part)
        if sum(map(len, parts)) > ANSWER_MOST:
            raise DeviceError(
                f"the board sent more than the {ANSWER_MOST} characters that an answer can have: {parts[0][:100]!r}",
                "damaged",
            )
        if heard:
            heard(part)
    return "".join(parts)


async def connect(name: str, address: Address, *, known_hosts: Path, keys: tuple[Path, ...]) -> SshLink:
    """Return a new link.

    Args:
        name: of the device, for messages.
        address: of the board.
        known_hosts: file of the keys of hosts that are trusted.
        keys: private keys; with none, those of the user's agent and home folder.

    Raises:
        DeviceError: the host's key is not known or another than the known one, or the board refuses the user's key.
        LinkLostError: the board cannot be reached.
    """
    import asyncssh

    where = f"{address.user}@{address.host}:{address.port}"
    missing = [str(path) for path in keys if not path.is_file()]
    if missing:
        raise DeviceError(f"{name}: the key {', '.join(missing)} does not exist; see `keys` of the device")
    try:
        connection = await asyncssh.connect(
            address.host,
            address.port,
            username=address.user,
            known_hosts=str(known_hosts) if known_hosts.is_file() else asyncssh.import_known_hosts(""),
            client_keys=[str(path) for path in keys] or (),
            config=None,
            connect_timeout=CONNECT_S,
            login_timeout=CONNECT_S,
            keepalive_interval=5,
            keepalive_count_max=3,
        )
    except asyncssh.HostKeyNotVerifiable as error:
        raise DeviceError(f"{name}: {_untrusted(address, known_hosts)}") from error
    except asyncssh.PermissionDenied as error:
        tried = ", ".join(map(str, keys)) or "the keys of your SSH agent and home folder"
        raise DeviceError(
            f"{name}: {where} refuses {tried}. Put the public key into the board's ~/.ssh/authorized_keys, or name "
            "another with `keys`"
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise DeviceError(f"{name}: a key cannot be used: {error}") from error
    except (asyncssh.Error, OSError, TimeoutError) as error:
        raise LinkLostError(f"{where} cannot be reached: {str(error) or type(error).__name__}") from error
    try:
        return SshLink(connection, await connection.start_sftp_client())
    except (asyncssh.Error, OSError) as error:
        connection.close()
        raise LinkLostError(f"{where} has no file transfer (SFTP): {error}") from error


def _untrusted(address: Address, known_hosts: Path) -> str:
    """Return what is wrong with a host's key: nobody knows it, or another one is known."""
    import asyncssh

    known: Any = ((),)
    if known_hosts.is_file():
        known = asyncssh.read_known_hosts(str(known_hosts)).match(address.host, "", address.port)
    host = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
    if any(known[:2]):
        return (
            f"the host key of {host} is another than the one in {known_hosts}: the board was installed anew, or "
            "somebody is in between. If you are sure, remove the old one with "
            f"`ssh-keygen -R '{host}' -f {known_hosts}`"
        )
    return (
        f"the host key of {host} is not known in {known_hosts}. Compare it with the board's own, then keep it: "
        f"`ssh-keyscan -p {address.port} {address.host} >> {known_hosts}`"
    )
