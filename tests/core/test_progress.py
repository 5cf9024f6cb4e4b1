from collections.abc import Iterator

import pytest

from edge_pipeline.core import progress


class Recorder:
    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def started(self, step: str, total: int) -> None:
        self.events.append(("started", step, total))

    def advanced(self, step: str, done: int, note: str) -> None:
        self.events.append(("advanced", step, done, note))

    def entered(self, step: str, state: str) -> None:
        self.events.append(("entered", step, state))

    def ended(self, step: str) -> None:
        self.events.append(("ended", step))

    def measured(self, step: str, index: int, metrics: object) -> None:
        self.events.append(("measured", step, index, metrics))


@pytest.fixture
def listeners() -> Iterator[list[Recorder]]:
    before = progress.listeners[:]
    progress.listeners[:] = [Recorder(), Recorder()]
    yield progress.listeners
    progress.listeners[:] = before


def test_every_listener_hears_of_every_unit(listeners: list[Recorder]) -> None:
    assert list(progress.track("ab", "step", 2)) == ["a", "b"]
    expected = [("started", "step", 2), ("advanced", "step", 1, ""), ("advanced", "step", 2, ""), ("ended", "step")]
    assert [listener.events for listener in listeners] == [expected, expected]


def test_a_unit_counts_as_done_only_after_it_was_worked_on(listeners: list[Recorder]) -> None:
    seen = [(item, listeners[0].events[-1][0]) for item in progress.track("a", "step", 1)]
    assert seen == [("a", "started")]


def test_a_step_that_raises_is_ended(listeners: list[Recorder]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(progress.track(items(), "step", 2))
    assert listeners[0].events[-1] == ("ended", "step")


def test_a_step_that_is_left_early_is_ended(listeners: list[Recorder]) -> None:
    found = progress.track("abc", "step", 3)
    next(found)
    found.close()
    assert listeners[0].events[-1] == ("ended", "step")


def test_metrics_and_notes_are_passed_on(listeners: list[Recorder]) -> None:
    progress.measured("step", 3, {"loss": 0.5})
    progress.advance("step", 3, "better")
    progress.enter("step", "running inference")
    assert listeners[1].events == [
        ("measured", "step", 3, {"loss": 0.5}),
        ("advanced", "step", 3, "better"),
        ("entered", "step", "running inference"),
    ]


def test_nobody_needs_to_listen(listeners: list[Recorder]) -> None:
    listeners.clear()
    assert list(progress.track([1, 2], "step", 2)) == [1, 2]
