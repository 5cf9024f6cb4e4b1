"""How long steps tell the world where they are, without knowing who listens."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """Somebody who wants to know: a progress bar, a tracker."""

    def started(self, step: str, total: int) -> None:
        """A step of `total` units begins."""

    def advanced(self, step: str, done: int, note: str) -> None:
        """`done` units are behind us."""

    def entered(self, step: str, state: str) -> None:
        """The step, whose work is done elsewhere, is in another state than before."""

    def ended(self, step: str) -> None:
        """The step is over, finished or not."""

    def measured(self, step: str, index: int, metrics: Mapping[str, float]) -> None:
        """Metrics of unit `index` (an epoch) are known."""


listeners: list[Listener] = []


def track(items: Iterable[T], step: str, total: int) -> Iterator[T]:
    """Yield `items` and report each as one unit of `step` done."""
    for listener in listeners:
        listener.started(step, total)
    try:
        for done, item in enumerate(items, start=1):
            yield item
            advance(step, done)
    finally:
        for listener in listeners:
            listener.ended(step)


def advance(step: str, done: int, note: str = "") -> None:
    """Report that `done` units of `step` are behind us."""
    for listener in listeners:
        listener.advanced(step, done, note)


def enter(step: str, state: str) -> None:
    """Report the new state of `step`, which is worked on elsewhere: a log has a line for each."""
    for listener in listeners:
        listener.entered(step, state)


def measured(step: str, index: int, metrics: Mapping[str, float]) -> None:
    """Report the metrics of one unit, for live curves."""
    for listener in listeners:
        listener.measured(step, index, metrics)
