"""What a board does itself: keep files by content, run one job at a time, detached from the link, within a time limit.

This file alone is given to the board's Python, standard library only, for every step: the step and a JSON argument are
on the command line, the answer is one line of JSON. `folder` in every argument is where the board keeps everything.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OLDEST = (3, 10)
"""The oldest Python that runs the agent."""

LOG_BYTES = 4000
EVENTS_BYTES, EVENT_BYTES = 2**17, 500
"""Most of a job's events that are passed on, and the longest one."""
KILL_S = 5.0
MODEL = {"ro.product.model": "{}", "ro.build.version.release": "Android {}"}
CHIP = {"ro.soc.model": "{}", "ro.board.platform": "{}"}
"""Properties of Android, and how they are told."""

PACKAGES = ("numpy", "onnxruntime", "onnxruntime-qnn", "ai-edge-litert")


def facts(argument: dict[str, Any]) -> dict[str, Any]:
    """Tell what the board is: processor, memory and free disk (MB), system, Python, packages, whether a job runs."""
    from importlib import metadata

    packages = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    folder = _folder(argument)
    memory = _line("/proc/meminfo", ("MemTotal",)) or "0"
    return {
        "machine": platform.machine(),
        "system": ", ".join([*_android(MODEL), f"{os.uname().sysname} {os.uname().release}"]),
        "cpu": _line("/proc/cpuinfo", ("model name", "Model", "Hardware")) or platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mb": int(memory.split()[0]) // 1000,
        "free_mb": _free_mb(folder),
        "python": platform.python_version(),
        "packages": packages,
        "busy": _busy(folder),
        "home": str(Path.home()),
        "hardware": _hardware(),
        "temperature_c": _temperature(),
    }


def prepare(argument: dict[str, Any]) -> dict[str, Any]:
    """Make room, and tell how many bytes of each wanted file are there: `{sha256: size}` in, `{sha256: bytes}` out.

    `part` is what the client adds to the names of files that are not whole yet, so that no two write into one.
    """
    files, wanted, suffix = _folder(argument) / "files", argument["files"], argument["part"]
    mine = {*wanted, *(name + suffix for name in wanted)}
    kept = [one for one in _kept(files) if one[2].name not in mine]
    room, total = argument["cache_mb"] * 10**6 - sum(wanted.values()), sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= max(room, 0):
            break
        path.unlink(missing_ok=True)
        total -= size
    there = {}
    for name, size in wanted.items():
        path, part = files / name, files / (name + suffix)
        if path.exists() and path.stat().st_size == size:
            _use(path)
            there[name] = size
        else:
            sent = part.stat().st_size if part.exists() else 0
            there[name] = sent if sent < size else 0
    return {"there": there, "files": str(files), "free_mb": _free_mb(files)}


def commit(argument: dict[str, Any]) -> dict[str, Any]:
    """Check a file that was sent against its hash; keep it, or delete it."""
    path = _folder(argument) / "files" / argument["name"]
    part, digest = path.with_name(path.name + argument["part"]), hashlib.sha256()
    with part.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    if digest.hexdigest() != path.name:
        part.unlink()
        return {"kept": False}
    part.replace(path)
    _use(path)
    return {"kept": True}


def start(argument: dict[str, Any]) -> dict[str, Any]:
    """Lay out a job's files and leave a process that runs it, once the jobs before it are done."""
    if sys.version_info < OLDEST:
        return {"refused": f"its Python is {platform.python_version()}, the agent needs 3.10 or newer"}
    folder = _folder(argument)
    run = folder / "runs" / argument["run"]
    if (run / "group").exists():  # asked again, because the answer was lost
        return {"folder": str(run)}
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    for name, digest in argument["files"].items():
        source = folder / "files" / digest
        try:
            os.link(source, run / name)
        except OSError:
            shutil.copyfile(source, run / name)
    (run / "request.json").write_text(json.dumps(argument["request"]))
    alive = os.open(run / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    child = os.fork()
    if child:
        try:
            (run / "group").write_text(str(child))
        except OSError:
            os.kill(child, signal.SIGKILL)
            raise
        return {"folder": str(run)}
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    try:
        _supervise(folder, run, argument["command"], argument["time_limit_s"])
    finally:
        os._exit(0)


def state(argument: dict[str, Any]) -> dict[str, Any]:
    """Tell the end of a job, or that it waits or runs: once that is not `known` any more, or after `patience_s`.

    Waiting here costs the board nothing, while each step is a start of Python that would be measured too. Meanwhile the
    agent's events from byte `seen` on are passed on, each as a line with `event`, its text, and `seen`, to go on from.
    """
    until = time.monotonic() + argument["patience_s"]
    run, seen = _folder(argument) / "runs" / argument["run"], argument["seen"]
    while (found := _state(run))["state"] == argument["known"]:
        seen = _pass_on(run / "events", seen)
        if time.monotonic() >= until:
            break
        time.sleep(0.1)
    _pass_on(run / "events", seen)
    return found


def _pass_on(path: Path, seen: int) -> int:
    """Print the whole lines of a file from byte `seen` on; return where they end."""
    try:
        with path.open("rb") as file:
            file.seek(seen)
            found = file.read(max(0, EVENTS_BYTES - seen))
    except OSError:
        return seen
    for line in found.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        seen += len(line)
        if len(line) <= EVENT_BYTES:
            print(json.dumps({"event": line.decode("utf-8", "replace"), "seen": seen}), flush=True)
    return seen


def _state(run: Path) -> dict[str, Any]:
    alive = _alive(run)
    if (run / "status.json").exists():
        found: dict[str, Any] = json.loads((run / "status.json").read_text())
        return found
    if not run.exists():
        return {"state": "ended", "exit_status": None, "log": "its folder was deleted on the board"}
    if not alive:
        return {"state": "ended", "exit_status": None, "log": _said(run), "free_mb": _free_mb(run)}
    return {"state": "running" if (run / "started").exists() else "waiting"}


def _alive(run: Path) -> bool:
    """Tell whether the process that runs a job is there; it holds a lock, which the kernel drops with it."""
    try:
        file = os.open(run / "alive", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _said(run: Path) -> str:
    try:
        return (run / "log").read_bytes()[-LOG_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""


def _free_mb(folder: Path) -> int:
    return shutil.disk_usage(folder).free // 10**6


def stop(argument: dict[str, Any]) -> dict[str, Any]:
    """End a job that runs, and delete what belongs to it, files that did not arrive whole among that."""
    folder = _folder(argument)
    run = folder / "runs" / argument["run"]
    with contextlib.suppress(OSError, ValueError):
        os.killpg(int((run / "group").read_text()), signal.SIGKILL)
    shutil.rmtree(run, ignore_errors=True)
    for path in (folder / "files").iterdir():
        if path.name.endswith(argument["part"]):
            path.unlink(missing_ok=True)
    return {}


def _supervise(folder: Path, run: Path, command: list[str], time_limit_s: float) -> None:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (run / "started").touch()
        status: dict[str, Any] = {"state": "ended", "exit_status": None, "timed_out": False}
        with (run / "log").open("wb") as output:
            try:
                process = subprocess.Popen(
                    command, cwd=run, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
                )
                try:
                    status["exit_status"] = process.wait(time_limit_s)
                except subprocess.TimeoutExpired:
                    status["timed_out"] = True
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(KILL_S)
                    process.kill()
                    process.wait()
            except OSError as error:
                output.write(str(error).encode())
        status.update(log=_said(run), free_mb=_free_mb(run))
        part = run / "status.part"
        part.write_text(json.dumps(status))
        part.replace(run / "status.json")


def _folder(argument: dict[str, Any]) -> Path:
    folder = Path(argument["folder"]).expanduser()
    for name in ("files", "runs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


def _kept(files: Path) -> list[tuple[float, int, Path]]:
    """Return when each file was used, its size and its path; other clients may delete some meanwhile."""
    found = []
    for path in files.iterdir():
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            found.append((about.st_mtime, about.st_size, path))
    return found


def _use(path: Path) -> None:
    """Mark a file as the one that was used last, also where the clock was set back: many boards have no battery."""
    stamp = max([time.time(), *(one[0] + 0.001 for one in _kept(path.parent))])
    os.utime(path, (stamp, stamp))


def _busy(folder: Path) -> bool:
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _line(path: str, keys: tuple[str, ...]) -> str | None:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(errors="replace").splitlines():
            if line.startswith(keys):
                return line.split(":", 1)[1].strip()
    return None


def _android(properties: dict[str, str]) -> list[str]:
    """Return what Android tells of itself, each as it is written here; nothing elsewhere."""
    if not shutil.which("getprop"):
        return []
    found = []
    for name, written in properties.items():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(["getprop", name], stdin=subprocess.DEVNULL, capture_output=True, timeout=5)
            value = done.stdout.decode(errors="replace").strip()
            if value.isprintable() and 0 < len(value) < 80:
                found.append(written.format(value))
    return found


def _hardware() -> list[str]:
    """Return the names by which the system knows its board and chip."""
    found = _android(CHIP)
    for path in ("/proc/device-tree/model", "/proc/device-tree/compatible", "/sys/devices/soc0/machine"):
        with contextlib.suppress(OSError):
            found += [one for one in Path(path).read_text(errors="replace").replace("\n", "\0").split("\0") if one]
    return found


def _temperature() -> float | None:
    """Return the highest temperature of the board, in degrees Celsius."""
    found = []
    for path in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()) / 1000)
    return max((one for one in found if -50 < one < 200), default=None)


STEPS = {one.__name__: one for one in (facts, prepare, commit, start, state, stop)}

if __name__ == "__main__":
    try:
        answer = STEPS[sys.argv[1]](json.loads(sys.argv[2]))
    except OSError as error:
        answer = {"refused": f"{error.strerror or error}: {error.filename or sys.argv[1]}"}
    print(json.dumps(answer))
