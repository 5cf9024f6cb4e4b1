"""A phone without Python: its shell keeps files by content and runs one program at a time, within a time limit.

The shell is mksh with the programs of toybox, on Android 8 or newer. Its `exec 9>file` would not pass the file on to
`flock`, a redirection of a subshell does.
"""

import asyncio
import contextlib
import hashlib
import math
import re
import secrets
import shlex
import time
from collections.abc import Sequence
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.agent.android import Thermal, parse
from edge_pipeline.devices.boards import board as boards
from edge_pipeline.devices.boards.board import BLOCK, QUEUE_S, STEP_S, Board
from edge_pipeline.devices.boards.endings import hint
from edge_pipeline.devices.boards.link import Link

NEEDED = ("flock", "timeout", "sha256sum", "stat")
"""Programs of the phone's shell, besides those that every shell has."""

BUSY_S = 2.0
"""Seconds until a phone that runs another job is asked again."""

SPARE_S = 30.0
"""Seconds for which the link waits longer than the phone's own time limit."""

TOO_LATE, KILLED, NOT_EXECUTABLE, NOT_FOUND = 124, 137, 126, 127
"""Exit statuses of `timeout`."""


class Phone(Board):
    """A phone behind ADB, and a program on it.

    Args:
        name: of the device, for messages.
        open_link: returns a new link.
        folder: on the phone, for files.
        cache_mb: 10^6 bytes of files that are kept on it.
        program: its path on the phone.
    """

    def __init__(self, name: str, open_link: Any, *, folder: str, cache_mb: int, program: str) -> None:
        super().__init__(name, open_link, folder=folder, python="", cache_mb=cache_mb)
        self._program = program

    async def facts(self) -> dict[str, Any]:
        """Return what the phone tells of itself, and as `program` the SHA-256 of the program.

        Raises:
            DeviceError: it cannot be reached, lacks a program of the shell, or the benchmark program.
        """
        try:
            return await self._facts()
        finally:
            await self._close()

    async def heat(self) -> Thermal:
        """Return what Android tells of its heat now; nothing where it tells nothing.

        Raises:
            DeviceError: it cannot be reached.
        """
        try:
            return await self._heat()
        finally:
            await self._close()

    async def run_program(self, model: bytes, flags: Sequence[str], time_limit_s: float) -> str:
        """Send a model unless it is there, run the program with it, and return what it printed.

        Args:
            model: content of the file.
            flags: of the program; `{model}` in them is the file's path.
            time_limit_s: seconds until the phone ends the program; waiting for other jobs does not count.

        Raises:
            DeviceError: the phone cannot be reached or is full, or the program is missing, failed or took too long.
        """
        try:
            path = await self._sent(model)
            return await self._alone([one.replace("{model}", path) for one in flags], time_limit_s)
        finally:
            with contextlib.suppress(DeviceError):
                await asyncio.shield(self._shell(f"rm -f {self._quoted('files')}/*{self._part}"))
            await self._close()

    async def _facts(self) -> dict[str, Any]:
        program = shlex.quote(self._program)
        lacking = await self._shell(f"for one in {' '.join(NEEDED)}; do command -v $one >/dev/null || echo $one; done")
        if lacking.split():
            raise DeviceError(
                f"{self._name}: the phone's shell has no {', '.join(lacking.split())[:100]}: Android 8 or newer is "
                "needed without Python"
            )
        there = await self._shell(
            f"if [ ! -f {program} ]; then echo missing; elif [ ! -x {program} ]; then echo closed; "
            f"else sha256sum {program}; fi"
        )
        if there.strip() in ("missing", "closed"):
            raise DeviceError(f"{self._name}: {self._not_run(missing=there.strip() == 'missing')}")
        folder = self._quoted()
        lines = await self._shell(
            f"mkdir -p {folder}; uname -m; uname -sr; getprop ro.product.model; getprop ro.build.version.release; "
            f"getprop ro.soc.model; nproc; cat /proc/meminfo | grep MemTotal; df -k {folder} | tail -n 1; "
            f"if ( flock -n 9 ) 9>>{folder}/lock; then echo free; else echo busy; fi"
        )
        told = [one.strip()[:80] for one in lines.splitlines()]
        if len(told) != 9 or not there[:64].isalnum():
            raise DeviceError(f"{self._name}: what the phone tells of itself is damaged: {lines[-200:]!r}", "damaged")
        machine, kernel, model, release, chip, cpus, memory, disk, busy = told
        heat = await self._heat()
        degrees = heat.processors or heat.others
        kilobytes, fields = re.search(r"(\d{1,12}) kB", memory), disk.split()
        return {
            "machine": machine,
            "system": ", ".join([*([model] if model else []), *([f"Android {release}"] if release else []), kernel]),
            "cpu": chip or machine,
            "cpus": int(cpus) if cpus.isdigit() else None,
            **({"memory_mb": int(kilobytes[1]) // 1000} if kilobytes else {}),
            **({"free_mb": int(fields[3]) * 1024 // 10**6} if len(fields) > 3 and fields[3].isdigit() else {}),
            "packages": {"benchmark_model": "(latency of tflite alone)"},
            "busy": busy == "busy",
            "hardware": [chip] if chip else [],
            "temperature_c": max(degrees.values(), default=None),
            "program": there[:64],
        }

    async def _heat(self) -> Thermal:
        mark = secrets.token_hex(8)
        told = await self._shell(f"dumpsys thermalservice 2>/dev/null; echo {mark}; dumpsys battery 2>/dev/null")
        service, _, battery = told.partition(f"{mark}\n")
        return parse(service, battery)

    async def _sent(self, data: bytes) -> str:
        """Send what the phone lacks of a file; return its path there."""
        name = hashlib.sha256(data).hexdigest()
        whole = f"{self._folder}/files/{name}"
        path, part = shlex.quote(whole), shlex.quote(whole + self._part)
        if await self._kept(path, name):
            return whole

        async def send(link: Link) -> None:
            size = (await link.run(f"stat -c %s {part} 2>/dev/null || echo 0", "", STEP_S)).strip()
            sent = int(size) if size.isdigit() and int(size) <= len(data) else 0
            for start in range(sent - sent % BLOCK, len(data), BLOCK):
                await link.send(whole + self._part, data[start : start + BLOCK], start)

        await self._make_room(len(data))
        await self._with_link(send)
        if not await self._kept(part, name):
            raise DeviceError(f"{self._name}: the model arrived damaged; check the phone's cable", "damaged")
        await self._shell(f"mv {part} {path}")
        return whole

    async def _kept(self, quoted: str, name: str) -> bool:
        """Tell whether a file of this hash is there, and mark it as used now."""
        told = await self._shell(f"mkdir -p {self._quoted('files')}; sha256sum {quoted} 2>/dev/null && touch {quoted}")
        return told[:64] == name

    async def _make_room(self, size: int) -> None:
        """Delete the models that were used longest ago, until one of `size` bytes keeps to `cache_mb`."""
        listed = await self._shell(f"cd {self._quoted('files')} && stat -c '%Y %s %n' * 2>/dev/null || true")
        kept = sorted(
            (int(used), int(bytes_), name)
            for used, bytes_, name in re.findall(r"^(\d{1,12}) (\d{1,12}) ([0-9a-f]{64})$", listed, re.MULTILINE)
        )
        total = size + sum(one[1] for one in kept)
        for _, bytes_, name in kept:
            if total <= self._cache_mb * 10**6:
                break
            await self._shell(f"rm -f {self._quoted('files')}/{name}")
            total -= bytes_

    async def _alone(self, flags: Sequence[str], time_limit_s: float) -> str:
        """Run the program once no other job of this project runs there."""
        mark, since = secrets.token_hex(8), time.monotonic()
        program = shlex.join(["timeout", "-s", "KILL", str(math.ceil(time_limit_s)), self._program, *flags])
        command = (
            f"( flock -n 9 || {{ echo {mark}busy; exit 0; }}; {program} </dev/null 2>&1; status=$?; echo; "
            f"echo {mark}$status ) 9>>{self._quoted('lock')}"
        )
        cut = False
        while True:
            begun = time.monotonic()
            try:
                printed = await self._shell(command, time_limit_s + SPARE_S)
            except DeviceError as error:
                if cut or error.trouble != "unreachable" or time.monotonic() - begun < boards.PATIENCE_S:
                    raise
                cut = True  # late in a long run, which left no patience for another link
                continue
            output, found, status = printed.rpartition(mark)
            if not found:
                raise DeviceError(f"{self._name}: the phone's answer is damaged: {printed[-200:]!r}", "damaged")
            if status.strip() != "busy":
                self._check(status.strip(), output, time.monotonic() - begun >= time_limit_s, time_limit_s)
                return output
            if time.monotonic() - since > QUEUE_S:
                raise DeviceError(f"{self._name}: the phone was busy with other jobs for {QUEUE_S:.0f} s")
            await asyncio.sleep(BUSY_S)

    def _check(self, status: str, output: str, late: bool, time_limit_s: float) -> None:
        """Raise what the end of the program means, if it did not do well."""
        said, number = output.strip()[-600:], int(status) if status.isdigit() else -1
        if number == 0:
            return
        if number == TOO_LATE or (number == KILLED and late):
            raise DeviceError(
                f"{self._name}: benchmark_model was stopped after its time limit of {time_limit_s:g} s: {said}",
                "timeout",
            )
        if number in (NOT_EXECUTABLE, NOT_FOUND):  # it is there: for another processor, a shell took it for a script
            raise DeviceError(f"{self._name}: {self._not_run(missing=False)}: {said}")
        why = hint(said, "") if number < 128 else f"it was ended by signal {number - 128}"
        raise DeviceError(
            f"{self._name}: benchmark_model ended with exit status {status[:20]}: {why + ': ' if why else ''}{said}",
            "killed" if number >= 128 else None,
        )

    def _not_run(self, *, missing: bool) -> str:
        if missing:
            return (
                f"there is no {self._program} on the phone: build LiteRT's benchmark_model for its processor and "
                f"`adb push benchmark_model {self._program}`, then `adb shell chmod 755 {self._program}`"
            )
        return (
            f"{self._program} cannot be run on the phone: `adb shell chmod 755 {self._program}`; it must be made for "
            "the phone's processor and be in a folder from which programs may run, such as /data/local/tmp"
        )

    def _quoted(self, name: str = "") -> str:
        return shlex.quote(f"{self._folder}/{name}".rstrip("/"))

    async def _shell(self, command: str, time_limit_s: float = STEP_S) -> str:
        """Run a command; return what it printed. After a lost link it is run again."""

        async def act(link: Link) -> str:
            return await link.run(f"{command}\ntrue", "", time_limit_s)

        return (await self._with_link(act)).replace("\r\n", "\n")
