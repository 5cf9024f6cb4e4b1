"""Run the agent on a board: send what it lacks, start a job, wait for it, fetch the result, leave nothing behind."""

import asyncio
import contextlib
import functools
import hashlib
import json
import secrets
import shlex
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files as package_files
from typing import Any, TypeVar

from edge_pipeline.core.errors import DeviceError, DeviceTrouble
from edge_pipeline.devices.boards.bundle import bundle
from edge_pipeline.devices.boards.link import Link, LinkLostError

T = TypeVar("T")

STEP_S = 60.0
"""Seconds that a step on the board may take, other than the job itself."""

PATIENCE_S, FIRST_S = 60.0, 5.0
"""Seconds for which a lost link is tried to be had again, and one that never was."""

QUEUE_S = 1800.0
"""Seconds that a job may wait for those before it."""

BLOCK = 2**20
"""Bytes that are sent at a time: what arrived whole is not sent again after a cut."""

AGENT = "agent.pyz"


class Board:
    """A board behind a link that may be cut at any time.

    Args:
        name: of the device, for messages.
        open_link: returns a new link.
        folder: on the board, for files and jobs.
        python: command of the board's Python, which has NumPy and a runtime.
        cache_mb: 10^6 bytes of files that are kept on the board.
    """

    def __init__(
        self, name: str, open_link: Callable[[], Awaitable[Link]], *, folder: str, python: str, cache_mb: int
    ) -> None:
        self._name, self._open = name, open_link
        self._folder, self._python, self._cache_mb = folder, python, cache_mb
        self._link: Link | None = None
        self._met = False
        self._part = f".{secrets.token_hex(4)}.part"

    async def facts(self) -> dict[str, Any]:
        """Return what the board tells of itself.

        Raises:
            DeviceError: it cannot be reached, or has no Python.
        """
        try:
            return await self._ask("facts", {})
        finally:
            await self._close()

    async def run(
        self, request: Mapping[str, Any], contents: Mapping[str, bytes], result: str, limit: int, time_limit_s: float
    ) -> bytes:
        """Run the agent and return the file `result` that it wrote.

        Args:
            request: of the agent, with names of files instead of paths.
            contents: files that the job needs, by name.
            result: name of the file.
            limit: bytes that the result may have.
            time_limit_s: seconds until the board stops the agent; waiting for other jobs does not count.

        Raises:
            DeviceError: the board cannot be reached or is full, the agent failed or took too long, or its result is
                missing or too large.
        """
        run = secrets.token_hex(8)
        contents = {**contents, AGENT: bundle()}
        names = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        try:
            await self._push({names[name]: data for name, data in contents.items()})
            job = {
                "run": run,
                "files": names,
                "request": dict(request),
                "command": [*shlex.split(self._python), AGENT, "request.json"],
                "time_limit_s": time_limit_s,
            }
            begun = await self._ask("start", job)
            if "refused" in begun:
                raise DeviceError(f"{self._name}: {begun['refused']}")
            await self._wait(run, time_limit_s)
            return await self._with_link(lambda link: link.receive(f"{begun['folder']}/{result}", limit))
        finally:
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._ask("stop", {"run": run}))
            await self._close()

    async def _push(self, contents: Mapping[str, bytes]) -> None:
        sizes = {name: len(data) for name, data in contents.items()}
        wanted = {"files": sizes, "cache_mb": self._cache_mb, "part": self._part}
        for name, data in contents.items():
            send = functools.partial(self._send, name, data, wanted)
            if not await self._again(send) and not await self._again(send):
                raise DeviceError(
                    f"{self._name}: a file arrived damaged twice; check the board's disk and network", "damaged"
                )

    async def _send(self, name: str, data: bytes, wanted: Mapping[str, Any]) -> bool:
        """Send what the board lacks of one file; tell whether it is there whole."""
        found = await self._ask("prepare", wanted)
        there = int(found["there"].get(name, 0))
        if there == len(data):
            return True
        if found["free_mb"] * 10**6 < len(data) - there:
            raise DeviceError(
                f"{self._name}: the board has {found['free_mb']} MB of free disk, {len(data)} bytes are to come"
            )
        link = await self._linked()
        for start in range(there - there % BLOCK, len(data), BLOCK):
            await link.send(f"{found['files']}/{name}{self._part}", data[start : start + BLOCK], start)
        return bool((await self._ask("commit", {"name": name, "part": self._part}))["kept"])

    async def _wait(self, run: str, time_limit_s: float) -> None:
        """Wait for the end of a job."""
        waiting_since = time.monotonic()
        started: float | None = None
        pause = 0.05
        while True:
            found = await self._ask("state", {"run": run})
            now = time.monotonic()
            if found["state"] == "ended":
                break
            if found["state"] == "running":
                started = started or now
                if now - started > time_limit_s + STEP_S:
                    raise DeviceError(f"{self._name}: the board did not stop the job at its time limit")
            elif now - waiting_since > QUEUE_S:
                raise DeviceError(f"{self._name}: the board was busy with other jobs for {QUEUE_S:.0f} s")
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 1.3)
        said = str(found.get("log", "")).strip()[-1500:]
        if found.get("timed_out"):
            raise DeviceError(
                f"{self._name}: the job was stopped after its time limit of {time_limit_s:g} s: {said}", "timeout"
            )
        status = found.get("exit_status")
        if status != 0:
            trouble: DeviceTrouble | None = None if isinstance(status, int) and 0 < status < 128 else "killed"
            raise DeviceError(f"{self._name}: the agent ended with exit status {status}: {said}", trouble)

    async def _ask(self, step: str, argument: Mapping[str, Any]) -> dict[str, Any]:
        """Let the board do a step of boardside.py and return its answer."""
        source = (package_files("edge_pipeline.devices.boards") / "boardside.py").read_text(encoding="utf-8")
        whole = json.dumps({**argument, "folder": self._folder})
        python = shlex.join(shlex.split(self._python))
        command = f"{python} - {step} {shlex.quote(whole)}"

        async def ask(link: Link) -> dict[str, Any]:
            answer = await link.run(command, source, STEP_S)
            try:
                found = json.loads(answer.strip().splitlines()[-1])
            except (ValueError, IndexError):
                found = None
            if not isinstance(found, dict):
                raise DeviceError(
                    f"{self._name}: the board answered something else than JSON: {answer[-200:]!r}", "damaged"
                )
            return found

        return await self._with_link(ask)

    async def _with_link(self, action: Callable[[Link], Awaitable[T]]) -> T:
        async def act() -> T:
            return await action(await self._linked())

        return await self._again(act)

    async def _again(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do an action that may be repeated; after a lost link, with a new one."""
        begun, pause = time.monotonic(), 0.2
        while True:
            try:
                return await action()
            except LinkLostError as error:
                await self._close()
                patience = PATIENCE_S if self._met else FIRST_S
                if time.monotonic() - begun > patience:
                    kept = "the link stayed lost" if self._met else "there is no link"
                    raise DeviceError(
                        f"{self._name}: {kept}, tried for {patience:.0f} s: {error}", "unreachable"
                    ) from error
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)

    async def _linked(self) -> Link:
        if self._link is None:
            self._link = await self._open()
            self._met = True
        return self._link

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(DeviceError, OSError):
                await link.close()
