"""Progress where there is no terminal, as in a log file."""

import io

import pytest
from rich.console import Console

from edge_pipeline.hooks.progress import ProgressBars


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=140)


def lines(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_every_stage_that_ended_has_a_line_with_its_time(console: Console) -> None:
    bars = ProgressBars(console, 2)
    for name in ("digits.split", "digits.finetune"):
        bars.stage_started(name)
        bars.stage_ended(name)
    bars.close()
    assert [one.split("  ")[-1] for one in lines(console)] == ["digits.split", "digits.finetune"]
    assert all(" s  " in one for one in lines(console))


def test_a_long_step_has_one_line_with_units_and_last_note(console: Console) -> None:
    bars = ProgressBars(console, 1)
    bars.started("digits: fine-tune", 3)
    for done in (1, 2, 3):
        bars.advanced("digits: fine-tune", done, f"accuracy {done}0%")
    bars.ended("digits: fine-tune")
    bars.close()
    (line,) = lines(console)
    assert line.endswith("digits: fine-tune  3 done  accuracy 30%")


def test_steps_of_two_targets_at_once_are_kept_apart(console: Console) -> None:
    bars = ProgressBars(console, 1)
    for name in "ab":
        bars.started(name, 2)
    bars.advanced("a", 2, "")
    bars.advanced("b", 1, "")
    for name in "ba":
        bars.ended(name)
    bars.close()
    assert [one.partition(" s  ")[2] for one in lines(console)] == ["b  1 done", "a  2 done"]
