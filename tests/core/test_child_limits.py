"""What a child may take, what it tells meanwhile, and what it said."""

import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.child import ChildError, memory_left_mb, run_child

Run = Callable[..., str]
OBEDIENT = "from edge_pipeline.core.child import die_with_parent, memory_left_mb\ndie_with_parent()\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs Python code with `run_child`."""

    def start(code: str, **settings: Any) -> str:
        (tmp_path / "limited_module.py").write_text(OBEDIENT + code)
        more = {"time_limit_s": 30, "environment": {"PYTHONPATH": str(tmp_path)}, **settings}
        return run_child("limited_module", [], **more)

    return start


def test_a_child_that_wants_more_memory_than_its_limit_ends_and_the_limit_is_named(run: Run) -> None:
    with pytest.raises(ChildError, match=r"it needed more memory than its limit of 300 MB \(it ended with .* 1\)"):
        run("a = bytearray(400_000_000)", memory_limit_mb=300)


def test_a_child_within_its_memory_limit_is_left_alone(run: Run) -> None:
    assert run("a = bytearray(200_000_000); print(len(a))", memory_limit_mb=300) == "200000000"


def test_without_a_limit_a_child_that_finds_no_memory_is_not_said_to_have_one(run: Run) -> None:
    with pytest.raises(ChildError) as raised:
        run("raise MemoryError")
    assert str(raised.value).startswith("it ended with exit status 1")


def test_an_error_under_a_memory_limit_need_not_be_the_limits(run: Run) -> None:
    with pytest.raises(ChildError) as raised:
        run("raise ValueError('odd')", memory_limit_mb=300)
    assert "more memory" not in str(raised.value)


def test_a_child_knows_what_is_left_of_its_memory(run: Run) -> None:
    left, less = map(
        float,
        run(
            "print(memory_left_mb()); a = bytearray(100_000_000); print(memory_left_mb())", memory_limit_mb=300
        ).split(),
    )
    assert 100 < left < 300
    assert left - less == pytest.approx(100, abs=5)


@pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY, reason="this process has a limit itself"
)
def test_without_a_limit_there_is_no_end_of_memory() -> None:
    assert memory_left_mb() == math.inf


def test_what_a_child_said_is_returned_and_kept_with_its_error(run: Run) -> None:
    assert run("import sys; print('early', flush=True); print('late', file=sys.stderr)").split() == ["early", "late"]
    with pytest.raises(ChildError) as raised:
        run("print('x' * 5000); raise SystemExit(2)")
    assert len(str(raised.value)) < 2000
    assert raised.value.output == "x" * 5000


def test_meanwhile_the_seconds_that_passed_are_told(run: Run) -> None:
    seconds: list[float] = []
    run("import time; time.sleep(2.3)", tick=seconds.append)
    assert len(seconds) >= 2
    assert seconds == sorted(seconds)
    assert 0.9 < seconds[0] < 2


def test_the_time_limit_holds_while_seconds_are_told(run: Run) -> None:
    seconds: list[float] = []
    with pytest.raises(ChildError, match=r"time limit of 1\.2 s"):
        run("import time; time.sleep(60)", tick=seconds.append, time_limit_s=1.2)
    assert len(seconds) == 1


def test_a_quick_child_is_not_told_of(run: Run) -> None:
    run("", tick=lambda _: pytest.fail("it was"), time_limit_s=30)
