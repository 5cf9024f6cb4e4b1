"""Two runs that want one board at once: one after the other, and the one that waits says so."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import jobs, outputs

WAITS = "the board is busy; this job waits for those before"


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


@pytest.mark.slow
def test_both_finish_and_the_second_says_that_it_waits(
    wrapped: Callable[..., DeviceSpec],
    artifact: Artifact,
    images: Any,
    tmp_path: Any,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[..., None],
) -> None:
    spans, found = tmp_path / "spans", {}
    board = wrapped(agent=f"date +%s.%N >> {spans}; sleep 5; date +%s.%N >> {spans}")
    first = threading.Thread(target=lambda: found.update(first=outputs(board, artifact, images[:2])))
    with caplog.at_level(logging.WARNING):
        first.start()
        eventually(spans.exists, 60)
        begun = time.monotonic()
        found["second"] = outputs(board, artifact, images[:2])
        took = time.monotonic() - begun
        first.join()
    np.testing.assert_array_equal(found["first"], found["second"])
    times = [float(line) for line in spans.read_text().splitlines()]
    assert len(times) == 4 and times == sorted(times)
    assert took > 6
    assert [one.getMessage().endswith(WAITS) for one in caplog.records].count(True) == 1
    assert not jobs(board)


def test_a_job_that_has_the_board_for_itself_says_nothing(
    board: DeviceSpec, artifact: Artifact, images: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        outputs(board, artifact, images[:2])
    assert not any("busy" in one.getMessage() for one in caplog.records)
