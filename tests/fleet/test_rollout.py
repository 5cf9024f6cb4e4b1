"""Canaries first, then waves; it stops where too much fails, and says what was not begun."""

from collections.abc import Callable
from typing import Any

import pytest

from edge_pipeline.fleet.errors import DeployError
from edge_pipeline.fleet.rollout import Outcome, Plan, parse_waves, roll_out

BOARDS = [f"b{number}" for number in range(1, 21)]


def run(plan: Plan, **bad: Any) -> tuple[dict[str, str], list[set[str]]]:
    """Roll out to 20 boards; return the state of each, and what was done when the order could be seen."""
    begun: list[set[str]] = [set()]
    done: list[str] = []

    def deliver(name: str) -> Outcome:
        begun[-1].add(name)
        return Outcome(bad.get(name, "deployed"))

    def note(name: str, outcome: Outcome) -> None:
        done.append(name)
        if begun[-1] <= set(done):
            begun.append(set())

    found = roll_out(BOARDS, plan, deliver, note)
    assert sorted(done) == sorted(BOARDS)
    return {name: one.state for name, one in found.items()}, begun


def states(found: dict[str, str], state: str) -> list[str]:
    return [name for name in BOARDS if found[name] == state]


def test_all_boards_get_it() -> None:
    found, begun = run(Plan(canary=1, waves=(10.0, 50.0, 100.0)))
    assert states(found, "deployed") == BOARDS
    assert begun[0] == {"b1"}


def test_a_canary_that_fails_ends_it_whatever_may_fail() -> None:
    found, _ = run(Plan(canary=2, max_failures=20), b2="failed")
    assert (states(found, "deployed"), states(found, "failed")) == (["b1"], ["b2"])
    assert states(found, "stopped") == BOARDS[2:]


def test_a_canary_that_is_away_is_replaced() -> None:
    found, begun = run(Plan(canary=1), b1="pending", b2="pending")
    assert [*begun[0], *begun[1], *begun[2]] == ["b1", "b2", "b3"]
    assert len(states(found, "deployed")) == 18


def test_a_wave_with_failures_is_the_last() -> None:
    found, _ = run(Plan(canary=1, waves=(25.0, 100.0)), b3="failed")
    assert states(found, "deployed") == ["b1", "b2", "b4", "b5"]
    assert states(found, "stopped") == BOARDS[5:]


def test_some_may_fail() -> None:
    found, _ = run(Plan(canary=1, waves=(50.0, 100.0), max_failures=2), b3="failed", b4="failed", b5="pending")
    assert len(states(found, "deployed")) == 17
    found, _ = run(Plan(canary=1, waves=(50.0, 100.0), max_failures=1), b3="failed", b4="failed")
    assert states(found, "stopped") == BOARDS[10:]


def test_all_boards_are_away() -> None:
    found, _ = run(Plan(), **{name: "pending" for name in BOARDS})
    assert states(found, "pending") == BOARDS


@pytest.mark.parametrize("text", ["", "10", "10%,5%,100%", "50%", "0%,100%", "10%,10%,100%", "101%", "-1%,100%", "x"])
def test_what_are_no_waves(text: str) -> None:
    with pytest.raises(DeployError, match="no waves"):
        parse_waves(text)


def test_waves() -> None:
    assert parse_waves("10%, 50%,100%") == (10.0, 50.0, 100.0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_begins_nothing_more(error: type[BaseException], stopping: Callable[[], None]) -> None:
    def deliver(name: str) -> Outcome:
        if name == "b2":
            raise error
        return Outcome("deployed")

    noted: list[str] = []
    with pytest.raises(error):
        roll_out(BOARDS, Plan(canary=2), deliver, lambda name, _: noted.append(name))
    assert noted == ["b1"]


@pytest.fixture
def stopping() -> Any:
    """Let jobs run again that the interruption ended."""
    from edge_pipeline.devices.boards.jobs import allow

    yield
    allow()
