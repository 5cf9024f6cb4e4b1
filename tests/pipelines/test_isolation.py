import threading
import time
from typing import Any

import pytest

from edge_pipeline.core.errors import CompileError, StorageError
from edge_pipeline.core.types import Failure
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time


@isolated("compile")
def stage(*inputs: Any, subject: str, error: BaseException | None = None) -> Any:
    """Return the inputs, or raise."""
    if error:
        raise error
    return inputs


def test_a_result_is_passed_through() -> None:
    assert stage(1, "two", subject="t") == (1, "two")


def test_an_error_of_the_project_becomes_a_failure_with_its_message_and_no_traceback() -> None:
    found = stage(1, subject="digits@host/onnx/w8a8", error=CompileError("it broke"))
    assert found == Failure("compile", "digits@host/onnx/w8a8", "it broke", "")


def test_an_unexpected_error_keeps_its_traceback() -> None:
    found = stage(subject="t", error=ZeroDivisionError("by zero"))
    assert found.message == "ZeroDivisionError: by zero"
    assert "Traceback" in found.traceback
    assert "raise error" in found.traceback


def test_a_failure_before_is_passed_on_untouched_and_nothing_is_run() -> None:
    before = Failure("quantize", "digits/w8a8", "no images")
    assert stage(1, before, subject="t", error=CompileError("never raised")) is before


@pytest.mark.parametrize("error", [StorageError("the disk is full"), KeyboardInterrupt(), SystemExit(143)])
def test_what_ends_the_run_is_raised(error: BaseException) -> None:
    with pytest.raises(type(error)):
        stage(subject="t", error=error)


def test_the_function_keeps_its_name_and_text() -> None:
    assert stage.__name__ == "stage"
    assert stage.__doc__ == "Return the inputs, or raise."


def test_stages_that_capture_graphs_never_run_at_once() -> None:
    running: list[int] = []
    most: list[int] = []

    @one_at_a_time
    def capture(name: int) -> None:
        running.append(name)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(name)

    threads = [threading.Thread(target=capture, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_stage_that_captures_may_call_another_that_does() -> None:
    inner = one_at_a_time(lambda: "done")
    assert one_at_a_time(lambda: inner())() == "done"
