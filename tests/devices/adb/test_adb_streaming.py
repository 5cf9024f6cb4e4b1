"""Events of a job come through adb while it runs."""

import time
from pathlib import Path

from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.devices.inventory import board as board_of


def test_events_come_while_the_job_runs(board: DeviceSpec, tmp_path: Path) -> None:
    script = tmp_path / "python"
    events = 'for n in 1 2 3; do echo "{\\"doing\\": \\"measuring\\", \\"done\\": $n}" >> events; sleep 0.7; done'
    script.write_text(
        f'#!/bin/sh\ncase "$1" in\n*.pyz) {events}; echo "{{}}" > result.json; exit 0;;\nesac\n'
        f'exec {board.python} "$@"\n'
    )
    script.chmod(0o755)
    heard: list[tuple[str, float]] = []
    job = board_of(board.model_copy(update={"python": str(script)})).run(
        {"result": "result.json"}, {}, "result.json", 1000, 30.0, lambda note: heard.append((note, time.monotonic()))
    )
    assert wait_for(job).strip() == b"{}"
    notes = [note for note, _ in heard]
    assert notes == sorted(set(notes)) and notes[-1] == "measuring 3"
    assert time.monotonic() - heard[0][1] > 0.5
