"""The climb: when it stops, what it keeps, and that a kill costs one rung."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.pipelines.quantize.ladder import Attempt, Budget, Candidate, Notes, Rung, climb

BUDGET = Budget(metric=0.9, sqnr_db=None, seconds=3600)


class Model:
    """The network of a simulation that is nothing but its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {self.name: torch.ones(2)}


class Simulation:
    """A simulation that is nothing but its name."""

    def __init__(self, name: str) -> None:
        self.name, self.model = name, Model(name)


class Climber:
    """Rungs of known numbers; notes which are made, and from what."""

    def __init__(self, folder: Path, **numbers: Any) -> None:
        self.folder, self.numbers = folder, numbers
        self.made: list[tuple[str, str | None]] = []
        self.told: list[str] = []

    def _rung(self, name: str) -> Rung:
        def make(best: Candidate | None) -> Candidate:
            self.made.append((name, best.simulation.name if best else None))
            if isinstance(self.numbers[name], BaseException):
                raise self.numbers[name]
            return Candidate(Simulation(name), {**(best.changes if best else {}), name: True}, {name: "float"})

        return Rung(name, make)

    def climb(self, budget: Budget = BUDGET, fingerprint: str = "f") -> tuple[str, list[Attempt]]:
        def restore(attempt: Attempt, state: Any) -> Simulation:
            assert list(state) == [attempt.rung]
            return Simulation(attempt.rung)

        found, attempts = climb(
            [self._rung(name) for name in self.numbers],
            lambda simulation: self.numbers[simulation.name],
            budget,
            Notes(self.folder, fingerprint),
            restore,
            lambda attempt: self.told.append(attempt.rung),
        )
        return found.simulation.name, attempts


@pytest.fixture
def climber(tmp_path: Path) -> Callable[..., Climber]:
    return lambda **numbers: Climber(tmp_path, **numbers)


def test_the_first_rung_that_meets_the_budget_ends_the_climb(climber: Any) -> None:
    one = climber(a=(0.5, 10), b=(0.9, 20), c=(0.99, 30))
    best, attempts = one.climb()
    assert best == "b"
    assert [(a.rung, a.met, a.kept) for a in attempts] == [("a", False, True), ("b", True, True)]
    assert one.told == ["a", "b"]


def test_without_any_the_best_is_kept_and_each_rung_starts_from_it(climber: Any) -> None:
    one = climber(a=(0.5, 10), b=(0.7, 5), c=(0.6, 30), d=(0.65, 40))
    best, attempts = one.climb()
    assert best == "b"
    assert [a.kept for a in attempts] == [True, True, False, False]
    assert one.made == [("a", None), ("b", "a"), ("c", "b"), ("d", "b")]
    assert attempts[1].changes == {"a": True, "b": True}
    assert attempts[1].overrides == {"b": "float"}


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        ((0.8000, 10), (0.8005, 9), "a"),
        ((0.8005, 10), (0.8000, 11), "b"),
        ((0.8, 10), (0.81, 1), "b"),
        ((0.8, 10), (0.79, 90), "a"),
        ((0.8, 10), (0.8, 10), "a"),
    ],
)
def test_the_sqnr_decides_between_metrics_within_the_tie(climber: Any, first: Any, second: Any, best: str) -> None:
    assert climber(a=first, b=second).climb()[0] == best


def test_metrics_that_are_both_good_enough_are_equal(climber: Any) -> None:
    budget = replace(BUDGET, sqnr_db=40)
    assert climber(a=(0.99, 10), b=(0.91, 20)).climb(budget)[0] == "b"


def test_an_sqnr_that_is_missed_is_not_met(climber: Any) -> None:
    best, attempts = climber(a=(0.99, 10), b=(0.95, 41), c=(1, 99)).climb(replace(BUDGET, sqnr_db=40))
    assert best == "b"
    assert [a.met for a in attempts] == [False, True]


def test_a_smaller_metric_can_be_the_better_one(climber: Any) -> None:
    budget = Budget(metric=2.0, sqnr_db=None, seconds=3600, higher_is_better=False)
    best, attempts = climber(a=(4.0, 10), b=(5.0, 90), c=(3.0, 5), d=(1.9, 1), e=(0, 9)).climb(budget)
    assert best == "d"
    assert [a.kept for a in attempts] == [True, False, True, True]


def test_a_rung_that_cannot_is_noted_and_skipped(climber: Any) -> None:
    best, attempts = climber(a=(0.5, 10), b=QuantizationError("no batch norm"), c=(0.6, 20)).climb()
    assert best == "c"
    assert (attempts[1].note, attempts[1].metric, attempts[1].kept) == ("no batch norm", None, False)


def test_the_first_rung_must_work(climber: Any) -> None:
    with pytest.raises(QuantizationError, match="cannot be traced"):
        climber(a=QuantizationError("cannot be traced"), b=(0.5, 1)).climb()


def test_another_error_is_not_hidden(climber: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        climber(a=(0.5, 10), b=ZeroDivisionError()).climb()


def test_the_time_budget_ends_the_climb_after_the_first(climber: Any) -> None:
    best, attempts = climber(a=(0.5, 10), b=(0.99, 20)).climb(replace(BUDGET, seconds=1e-9))
    assert best == "a"
    assert len(attempts) == 1


@pytest.fixture
def killed(climber: Any) -> Climber:
    """A climb that was killed in its third rung."""
    found = climber(a=(0.5, 10), b=(0.6, 20), c=KeyboardInterrupt(), d=(0.55, 10))
    with pytest.raises(KeyboardInterrupt):
        found.climb()
    found.numbers["c"] = (0.7, 30)
    found.made.clear()
    return found


def test_after_a_kill_only_the_rest_is_climbed_from_the_best(killed: Climber) -> None:
    best, attempts = killed.climb()
    assert best == "c"
    assert killed.made == [("c", "b"), ("d", "c")]
    assert [a.rung for a in attempts] == ["a", "b", "c", "d"]
    assert attempts[2].changes == {"a": True, "b": True, "c": True}


def test_a_rung_that_was_skipped_stays_skipped_after_a_kill(climber: Any) -> None:
    one = climber(a=(0.5, 10), b=QuantizationError("no"), c=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        one.climb()
    one.numbers["c"] = (0.4, 1)
    one.made.clear()
    best, attempts = one.climb()
    assert (best, one.made) == ("a", [("c", "a")])
    assert attempts[1].note == "no"


def test_the_time_before_a_kill_counts(killed: Climber) -> None:
    best, attempts = killed.climb(replace(BUDGET, seconds=1e-9))
    assert (best, killed.made, len(attempts)) == ("b", [], 2)


def test_a_climb_that_ended_is_not_climbed_again(climber: Any) -> None:
    one = climber(a=(0.95, 10), b=(0.99, 20))
    first = one.climb()
    one.made.clear()
    assert one.climb() == first
    assert one.made == []


def test_another_fingerprint_starts_anew(killed: Climber) -> None:
    killed.climb(fingerprint="other")
    assert [name for name, _ in killed.made] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"garbage"])
def test_a_damaged_file_starts_anew(killed: Climber, damage: Callable[[bytes], bytes]) -> None:
    path = killed.folder / "ladder.pt"
    path.write_bytes(damage(path.read_bytes()))
    killed.climb()
    assert [name for name, _ in killed.made] == ["a", "b", "c", "d"]
