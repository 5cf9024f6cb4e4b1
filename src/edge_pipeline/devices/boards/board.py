"""Run the agent on a board: send what it lacks, start a job, wait for it, fetch the result, leave nothing behind."""

import asyncio
import contextlib
import functools
import hashlib
import json
import logging
import secrets
import shlex
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files as package_files
from typing import Any, TypeVar

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.boards.bundle import bundle
from edge_pipeline.devices.boards.endings import MAKE_ROOM, failure, hint, last_words
from edge_pipeline.devices.boards.link import Heard, Link, LinkLostError
from edge_pipeline.devices.news import News, Tell

T = TypeVar("T")

STEP_S = 60.0
"""Seconds that a step on the board may take, other than the job itself."""

WATCH_S = 20.0
"""Seconds that the board waits for news of a job before it answers; less than `STEP_S`."""

SOON_S = 1.0
"""Seconds after which a job that has not begun waits for others."""

PATIENCE_S, FIRST_S = 60.0, 5.0
"""Seconds for which a lost link is tried to be had again, and one that never was."""

QUEUE_S = 1800.0
"""Seconds that a job may wait for those before it."""

BLOCK = 2**20
"""Bytes that are sent at a time: what arrived whole is not sent again after a cut."""

AGENT, EVENTS = "agent.pyz", "events"

ANSWERS: Mapping[str, Mapping[str, type]] = {
    "facts": {"machine": str, "system": str, "cpu": str, "packages": dict, "busy": bool},
    "prepare": {"there": dict, "files": str, "free_mb": int},
    "commit": {"kept": bool},
    "start": {"folder": str},
    "state": {"state": str},
    "stop": {},
}
"""What the answer to each step has at least."""


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
        self,
        request: Mapping[str, Any],
        contents: Mapping[str, bytes],
        result: str,
        limit: int,
        time_limit_s: float,
        tell: Tell | None = None,
    ) -> bytes:
        """Run the agent and return the file `result` that it wrote.

        Args:
            request: of the agent, with names of files instead of paths.
            contents: files that the job needs, by name.
            result: name of the file.
            limit: bytes that the result may have.
            time_limit_s: seconds until the board stops the agent; waiting for other jobs does not count.
            tell: is told what the agent is doing.

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
                "request": {**request, "events": EVENTS} if tell else dict(request),
                "command": [*shlex.split(self._python), AGENT, "request.json"],
                "time_limit_s": time_limit_s,
            }
            begun = await self._ask("start", job)
            await self._wait(run, time_limit_s, News(tell) if tell else None)
            return await self._with_link(lambda link: link.receive(f"{begun['folder']}/{result}", limit))
        finally:
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._ask("stop", {"run": run, "part": self._part}))
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
        told = found["there"].get(name)
        there = told if told in range(len(data) + 1) else 0
        if there == len(data):
            return True
        if found["free_mb"] * 10**6 < len(data) - there:
            raise DeviceError(
                f"{self._name}: the board's disk is full: {found['free_mb']} MB are free, {len(data)} bytes are to "
                f"come; {MAKE_ROOM}"
            )
        link = await self._linked()
        for start in range(there - there % BLOCK, len(data), BLOCK):
            await link.send(f"{found['files']}/{name}{self._part}", data[start : start + BLOCK], start)
        return bool((await self._ask("commit", {"name": name, "part": self._part}))["kept"])

    async def _wait(self, run: str, time_limit_s: float, news: News | None) -> None:
        """Wait for the end of a job, and let `news` hear of it."""
        waiting_since = time.monotonic()
        started: float | None = None
        known, patience = "waiting", SOON_S
        told = False
        while True:
            seen = news.seen if news else 0
            asked = {"run": run, "known": known, "patience_s": patience, "seen": seen}
            found = await self._ask("state", asked, heard=news.hear if news else None)
            now, known, patience = time.monotonic(), found["state"], WATCH_S
            if known == "waiting" and not told:
                logging.getLogger(__name__).warning(f"{self._name}: the board is busy; this job waits for those before")
                told = True
            if known == "ended":
                break
            if known == "running":
                started = started or now
                if now - started > time_limit_s + STEP_S:
                    raise DeviceError(f"{self._name}: the board did not stop the job at its time limit")
            elif now - waiting_since > QUEUE_S:
                raise DeviceError(f"{self._name}: the board was busy with other jobs for {QUEUE_S:.0f} s")
            await asyncio.sleep(0.05)
        problem = failure(found, time_limit_s, self._python)
        if problem:
            raise DeviceError(f"{self._name}: {problem}", problem.trouble)

    async def put(self, data: bytes) -> str:
        """Send a file that the board keeps by its content; return its SHA-256.

        Raises:
            DeviceError: the board cannot be reached or is full.
        """
        name = hashlib.sha256(data).hexdigest()
        try:
            await self._push({name: data})
        except BaseException:
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._ask("stop", {"run": "-", "part": self._part}))
            raise
        return name

    async def do(
        self, step: str, argument: Mapping[str, Any], script: str, answers: Mapping[str, Mapping[str, type]]
    ) -> dict[str, Any]:
        """Let the board do a step of `script`, which does it from the beginning when the link was lost.

        Args:
            step: its name, the first argument of the script.
            argument: its second, as JSON, with `folder` added.
            script: Python that is given to the board.
            answers: what the answer to each step has at least.

        Raises:
            DeviceError: the board cannot be reached, refuses, or has no Python.
        """
        return await self._ask(step, argument, script, answers)

    async def fetch(self, path: str, limit: int) -> bytes:
        """Return a file of the board, of at most `limit` bytes.

        Raises:
            DeviceError: the board cannot be reached, or there is no such file.
        """
        return await self._with_link(lambda link: link.receive(path, limit))

    async def close(self) -> None:
        """Close the connection; the next action opens another."""
        await self._close()

    async def _ask(
        self,
        step: str,
        argument: Mapping[str, Any],
        script: str | None = None,
        answers: Mapping[str, Mapping[str, type]] = ANSWERS,
        heard: Heard | None = None,
    ) -> dict[str, Any]:
        """Let the board do a step of boardside.py, or of another script, and return its answer."""
        own = package_files("edge_pipeline.devices.boards") / "boardside.py"
        source = script or own.read_text(encoding="utf-8")
        whole = json.dumps({**argument, "folder": self._folder})
        python = shlex.join(shlex.split(self._python))
        command = f"{python} - {step} {shlex.quote(whole)}"

        async def ask(link: Link) -> dict[str, Any]:
            try:
                answer = await link.run(command, source, STEP_S, **({"heard": heard} if heard else {}))
            except LinkLostError:
                raise
            except DeviceError as error:
                why = hint(str(error), self._python) or f"is `{self._python}` there, a Python of 3.10 or newer?"
                raise DeviceError(f"{self._name}: {why} ({last_words(str(error))})", error.trouble) from error
            try:
                found = json.loads(answer.strip().splitlines()[-1])
            except (ValueError, IndexError):
                found = None
            if not isinstance(found, dict):
                raise DeviceError(
                    f"{self._name}: the board answered something else than JSON: {answer[-200:]!r}", "damaged"
                )
            if "refused" in found:
                refused = str(found["refused"])[:600]
                why = hint(refused, self._python)
                raise DeviceError(f"{self._name}: {why + ': ' if why else ''}{refused}")
            lacking = [key for key, kind in answers[step].items() if not isinstance(found.get(key), kind)]
            if lacking:
                raise DeviceError(
                    f"{self._name}: the board's answer to '{step}' has no {', '.join(lacking)}: {answer[-200:]!r}",
                    "damaged",
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
