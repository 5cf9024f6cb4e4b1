"""Climb from cheap to dear techniques until a budget is met; what was climbed survives a kill."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import EdgePipelineError, ModelError
from edge_pipeline.core.files import write_atomically

TIE = 0.001
"""Two metrics that both are good enough, or differ by less, say nothing: the SQNR decides."""


@dataclass(frozen=True)
class Attempt:
    """One rung of the ladder.

    Attributes:
        rung: its name.
        metric: of the simulation.
        sqnr_db: of its outputs against the float network, in dB.
        seconds: that it took.
        met: whether the budget was met.
        kept: whether it was better than everything before it.
        note: why there are no numbers, where there are none.
        changes: to the parameters of quantization.
        overrides: precision of single layers.
    """

    rung: str
    metric: float | None = None
    sqnr_db: float | None = None
    seconds: float = 0.0
    met: bool = False
    kept: bool = False
    note: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A simulation that a rung made, with the changes that lead to it."""

    simulation: Any
    changes: Mapping[str, Any]
    overrides: Mapping[str, str]


@dataclass(frozen=True)
class Rung:
    """A technique: makes a candidate from the best so far (`None` at first), or raises an error if it cannot."""

    name: str
    make: Callable[[Candidate | None], Candidate]


@dataclass(frozen=True)
class Budget:
    """What must be reached: a metric, an SQNR in dB (`None`: any), and how long it may take, in seconds.

    Shortfalls of the metric that differ by no more than `tie` are taken for equal.
    """

    metric: float
    sqnr_db: float | None
    seconds: float
    higher_is_better: bool = True
    tie: float = TIE

    def met(self, metric: float, sqnr_db: float) -> bool:
        """Whether a simulation of these numbers is good enough."""
        enough = metric >= self.metric if self.higher_is_better else metric <= self.metric
        return enough and (self.sqnr_db is None or sqnr_db >= self.sqnr_db)

    def better(self, one: Attempt, other: Attempt | None) -> bool:
        """Whether `one` is to be preferred to `other`."""
        if other is None or one.met != other.met:
            return other is None or one.met
        assert one.metric is not None and other.metric is not None
        assert one.sqnr_db is not None and other.sqnr_db is not None
        gain = self._shortfall(other.metric) - self._shortfall(one.metric)
        return gain > 0 if abs(gain) > self.tie else one.sqnr_db > other.sqnr_db

    def _shortfall(self, metric: float) -> float:
        return max(0.0, (self.metric - metric) * (1 if self.higher_is_better else -1))


class Notes:
    """What is kept on disk after each rung: all attempts, and the state of the best simulation."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = folder / "ladder.pt", fingerprint

    def read(self) -> tuple[list[Attempt], Any]:
        """Return attempts and state of the same climb; nothing of another one."""
        from edge_pipeline.models.checkpoints import state_from_bytes

        if not self._path.is_file():
            return [], None
        try:
            found = state_from_bytes(self._path.read_bytes(), str(self._path))
        except ModelError:
            return [], None
        if found.get("fingerprint") != self._fingerprint:
            return [], None
        return [Attempt(**one) for one in found["attempts"]], found["state"]

    def write(self, attempts: Sequence[Attempt], state: Any) -> None:
        """Keep them; the file is whole at any time.

        Raises:
            StorageError: it cannot be written.
        """
        from edge_pipeline.models.checkpoints import state_to_bytes

        content = {"fingerprint": self._fingerprint, "attempts": [asdict(one) for one in attempts], "state": state}
        write_atomically(self._path, state_to_bytes(content))


def climb(
    rungs: Sequence[Rung],
    judge: Callable[[Any], tuple[float, float]],
    budget: Budget,
    notes: Notes,
    restore: Callable[[Attempt, Any], Any],
    tell: Callable[[Attempt], None],
) -> tuple[Candidate, list[Attempt]]:
    """Return the first candidate that meets the budget, or the best of all, and every attempt.

    Args:
        rungs: from cheap to dear; the first always applies.
        judge: returns metric and SQNR in dB of a simulation.
        budget: when to stop.
        notes: attempts of this climb before it was killed, if there are any, are taken from here.
        restore: makes the simulation of an attempt from its state.
        tell: is called after each rung.
    """
    attempts, state = notes.read()
    kept = [one for one in attempts if one.kept]
    best = kept[-1] if kept else None
    candidate = Candidate(restore(best, state), best.changes, best.overrides) if best else None
    for rung in rungs[len(attempts) :]:
        if best and (best.met or sum(one.seconds for one in attempts) >= budget.seconds):
            break
        started = time.monotonic()
        try:
            made = rung.make(candidate)
            metric, sqnr_db = judge(made.simulation)
        except EdgePipelineError as error:
            if candidate is None:
                raise
            attempt = Attempt(rung.name, seconds=time.monotonic() - started, note=str(error))
        else:
            seconds, met = time.monotonic() - started, budget.met(metric, sqnr_db)
            attempt = Attempt(
                rung.name, metric, sqnr_db, seconds, met, changes=dict(made.changes), overrides=dict(made.overrides)
            )
            if budget.better(attempt, best):
                attempt = best = replace(attempt, kept=True)
                candidate, state = made, made.simulation.model.state_dict()
        attempts.append(attempt)
        notes.write(attempts, state)
        tell(attempt)
    assert candidate
    return candidate, attempts
