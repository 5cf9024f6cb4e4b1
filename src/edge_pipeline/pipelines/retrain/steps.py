"""The steps of a training as child processes: commands that a user could type, one after the other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.retrain.schedule import ScheduleSpec

KEDRO = (
    sys.executable,
    "-c",
    "import runpy; from edge_pipeline.core.child import die_with_parent; die_with_parent(); "
    "runpy.run_module('kedro', run_name='__main__', alter_sys=True)",
)
"""Kedro's command line in this environment, in a process that ends with this one."""

TAIL = 40
"""Lines that are kept of what a step said last."""


@dataclass(frozen=True)
class Step:
    """One command: its name in reports, and the arguments of `kedro`."""

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"kedro {' '.join(self.arguments)}"


def steps(
    model: str, spec: ScheduleSpec, env: str | None, parameters: Sequence[tuple[str, object]], junit: Path
) -> list[Step]:
    """Return the steps after new samples were taken in.

    Args:
        model: name in models.yml.
        spec: its entry in schedule.yml.
        env: the run environment.
        parameters: name below the model, and value.
        junit: where the gate says which rules are broken.
    """
    chosen = ("--env", env) if env else ()
    text = ",".join(f"{model}.{name}={value}" for name, value in parameters)
    found = [
        Step("train", ("run", "--pipelines", model, *chosen, *(("--params", text) if text else ()))),
        Step("gate", ("edge", "gate", model, *chosen, "--junit", str(junit))),
        Step("release", ("edge", "release", model, *chosen)),
        Step("promote", ("edge", "promote", model, *chosen)),
    ]
    if spec.deploy == "after_gate":
        fleet = spec.fleet
        labels = [part for label in fleet.to for part in ("--to", label)]
        canary = ["--canary", str(fleet.canary)] if fleet.canary else []
        waves = ["--waves", ",".join(f"{one}%" for one in fleet.waves)] if fleet.waves else []
        found.append(Step("deploy", ("edge", "deploy", model, *labels, *canary, *waves)))
    return found


@dataclass(frozen=True)
class Ended:
    """How a step ended: exit status (negative: the signal), seconds, and its last lines."""

    status: int
    seconds: float
    tail: tuple[str, ...]


def run_step(
    step: Step,
    root: Path,
    log: Path,
    say: Callable[[str], None],
    kedro: Sequence[str] = KEDRO,
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """Run a step in the project's folder; pass on what it prints, and keep it in the file `log`.

    `variables` are set in its environment. SIGTERM is passed on to it: it ends in an orderly way, and then this process
    does.
    """
    started = time.monotonic()
    tail: deque[str] = deque(maxlen=TAIL)
    log.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [*kedro, *step.arguments],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(variables or {}), "EDGE_PIPELINE_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"},
    )
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        process.send_signal(signal.SIGTERM)

    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, pass_on) if main else None
    try:
        assert process.stdout
        with log.open("a") as kept:
            for line in process.stdout:
                kept.write(line)
                say(line.rstrip("\n"))
                if line.strip():
                    tail.append(line.rstrip())
        status = process.wait()
    except KeyboardInterrupt:  # the child got it too
        process.wait()
        raise
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)
    if asked:
        sys.exit(128 + asked[0])
    return Ended(status, time.monotonic() - started, tuple(tail))


def refusals(junit: Path) -> list[str]:
    """Return the rules that a gate says are broken; none if it never came to a judgement.

    Raises:
        RetrainError: the file is damaged.
    """
    if not junit.is_file():
        return []
    try:
        root = ElementTree.parse(junit).getroot()
    except ElementTree.ParseError as error:
        raise RetrainError(f"{junit}, which the gate wrote, is damaged: {error}") from error
    broken = [case for case in root.iter("testcase") if case.find("failure") is not None]
    return [
        ": ".join(part for part in (case.get("classname"), case.get("name"), _reason(case)) if part) for case in broken
    ]


def _reason(case: ElementTree.Element) -> str:
    failure = case.find("failure")
    return "" if failure is None else failure.get("message") or (failure.text or "").strip()
