"""The order in which boards get a release: canaries, then waves; and when to stop."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from edge_pipeline.devices.boards.jobs import stop_all
from edge_pipeline.fleet.errors import DeployError

State = Literal["waiting", "deployed", "pending", "failed", "stopped", "rolled back"]
"""`waiting` for its turn; `pending`: away, to be caught up later; `stopped`: not begun, because others failed."""

AT_ONCE = 8
"""Boards that are worked on at a time."""


@dataclass(frozen=True)
class Outcome:
    """How it went on one board, and in words why."""

    state: State
    message: str = ""


@dataclass(frozen=True)
class Plan:
    """How a release is rolled out.

    Attributes:
        canary: boards that must take it, one after the other, before any other is begun.
        waves: shares of all boards in percent, growing to 100; a wave begins when the one before it is done.
        max_failures: boards that may fail before no other wave is begun; a canary may not.
    """

    canary: int = 1
    waves: tuple[float, ...] = (100.0,)
    max_failures: int = 0


def parse_waves(text: str) -> tuple[float, ...]:
    """Return the shares that `10%,50%,100%` names.

    Raises:
        DeployError: they are no percentages, do not grow, or do not end with 100%.
    """
    parts = [part.strip() for part in text.split(",")]
    if all(re.fullmatch(r"\d{1,3}(\.\d+)?%", part) for part in parts):
        shares = tuple(float(part[:-1]) for part in parts)
        if shares[-1] == 100 and shares[0] > 0 and all(a < b for a, b in pairwise(shares)):
            return shares
    raise DeployError(f"'{text}' are no waves: growing percentages that end with 100%, such as 10%,50%,100%")


def roll_out(
    boards: Sequence[str], plan: Plan, deliver: Callable[[str], Outcome], note: Callable[[str, Outcome], None]
) -> dict[str, Outcome]:
    """Deliver to all boards in the order of `plan`, as long as it may go on; return how it went on each.

    A canary that is away is replaced by the next board. A board that is away is no failure.

    Args:
        boards: names.
        plan: the order.
        deliver: does the work on one board, from any thread.
        note: is told of each board when it is done, in this thread.
    """
    found: dict[str, Outcome] = {}
    for batch, may_fail in _batches(boards, plan, found):
        for name, outcome in _together(batch, deliver):
            found[name] = outcome
            note(name, outcome)
        if _count(found, "failed") > may_fail:
            break
    for name in boards:
        if name not in found:
            found[name] = Outcome("stopped", "not begun, because other boards failed")
            note(name, found[name])
    return found


def _batches(boards: Sequence[str], plan: Plan, found: Mapping[str, Outcome]) -> Iterator[tuple[Sequence[str], int]]:
    """Yield canaries one by one, then the waves, with how many boards may have failed; `found` grows meanwhile."""
    while _count(found, "deployed") < plan.canary and len(found) < len(boards):
        yield [boards[len(found)]], 0
    for share in plan.waves:
        upto = math.ceil(len(boards) * share / 100)
        if batch := boards[len(found) : upto]:
            yield batch, plan.max_failures


def _count(found: Mapping[str, Outcome], state: State) -> int:
    return sum(one.state == state for one in found.values())


def _together(names: Sequence[str], deliver: Callable[[str], Outcome]) -> Iterator[tuple[str, Outcome]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {pool.submit(deliver, name): name for name in names}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
