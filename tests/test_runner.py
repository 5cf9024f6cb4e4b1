"""Boards work at once, this machine does one thing at a time, and nothing outlives an error."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from edge_pipeline.devices.boards import jobs
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.wiring import bind
from edge_pipeline.runner import DeviceRunner

HOST = DeviceSpec(kind="host")
PATIENCE_S = 20.0


def board(number: int) -> DeviceSpec:
    return DeviceSpec(kind="ssh", address=f"edge@192.0.2.{number}")


def node(function: Callable[[], Any], name: str, device: DeviceSpec | None = None, stage: str = "profile") -> Node:
    def work(*, device: DeviceSpec | None) -> Any:
        return function() or name

    return Node(bind(work, device=device), None, name, name=name, tags={stage})


def run(*nodes: Node) -> dict[str, Any]:
    return DeviceRunner().run(Pipeline(nodes), DataCatalog(), _create_hook_manager())


def test_boards_work_at_once_and_this_machine_beside_them() -> None:
    meeting = threading.Barrier(3, timeout=PATIENCE_S)
    found = run(
        node(meeting.wait, "one", board(1)),
        node(meeting.wait, "two", board(2)),
        node(meeting.wait, "here", HOST, "compile"),
    )
    assert {name: dataset.load() for name, dataset in found.items()}.keys() == {"one", "two", "here"}


def test_one_board_does_one_thing_at_a_time() -> None:
    at_work, most = 0, 0

    def work() -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        time.sleep(0.05)
        at_work -= 1

    run(*(node(work, f"job{number}", board(1)) for number in range(4)))
    assert most == 1


def test_this_machine_is_measured_when_no_board_is_at_work() -> None:
    ended: list[str] = []

    def slow() -> None:
        time.sleep(0.3)
        ended.append("board")

    run(
        node(lambda: ended.append("measured"), "measure", HOST),
        node(slow, "remote", board(1), "validate"),
        node(lambda: ended.append("compiled"), "compile", HOST, "compile"),
    )
    assert ended == ["compiled", "board", "measured"]


def test_what_is_compiled_for_a_board_is_compiled_here() -> None:
    threads = []
    run(node(lambda: threads.append(threading.current_thread()), "compile", board(1), "compile"))
    assert threads == [threading.main_thread()]


def test_nodes_run_in_the_order_of_their_inputs() -> None:
    seen: list[Any] = []
    first = node(lambda: 7, "made", board(1), "validate")
    second = Node(lambda value: seen.append(value) or value + 1, "made", "more", name="second")
    run(second, first)
    assert seen == [7]


@pytest.mark.parametrize("error", [RuntimeError("the disk is full"), KeyboardInterrupt()])
def test_an_error_ends_what_boards_do_and_what_waits_for_them(error: BaseException) -> None:
    cleaned, begun = threading.Event(), threading.Event()
    later = []

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.1)
            cleaned.set()

    def fail() -> None:
        assert begun.wait(PATIENCE_S)
        raise error

    with pytest.raises(type(error)):
        run(
            node(lambda: jobs.wait_for(endless()), "endless", board(1)),
            node(lambda: later.append(1), "later", board(1), "validate"),
            node(fail, "fail"),
        )
    assert cleaned.is_set()
    assert not later


def test_an_error_on_a_board_is_the_error_of_the_run() -> None:
    def fail() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run(node(fail, "fail", board(1)), node(lambda: None, "here"))


def test_jobs_can_run_again_after_they_were_stopped() -> None:
    async def answer() -> int:
        return 42

    jobs.stop_all()
    with pytest.raises(asyncio.CancelledError):
        jobs.wait_for(answer())
    jobs.allow()
    assert jobs.wait_for(answer()) == 42
