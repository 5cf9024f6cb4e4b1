"""What the agent is doing is told while it does it. The agents here are scripts, so that they can say anything."""

import time
from collections.abc import Callable
from typing import Any

from edge_pipeline.devices.boards.jobs import wait_for
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.devices.inventory import board as board_of

EVENT = 'printf \'{"doing": "measuring", "done": %d, "total": 9}\\n\''
RESULT = "echo '{}' > result.json; exit 0"


class Heard:
    """What was told, and when."""

    def __init__(self, then: Callable[[str], None] = lambda _: None) -> None:
        self.notes: list[str] = []
        self.times: list[float] = []
        self._then = then

    def __call__(self, note: str) -> None:
        self.notes.append(note)
        self.times.append(time.monotonic())
        self._then(note)


def ran(spec: DeviceSpec, heard: Heard) -> float:
    """Run a job; return when it was over."""
    job = board_of(spec).run({"result": "result.json"}, {}, "result.json", 1000, 30.0, heard)
    assert wait_for(job).strip() == b"{}"
    return time.monotonic()


def test_events_come_while_the_job_runs(wrapped: Callable[..., DeviceSpec]) -> None:
    script = f"for n in 1 2 3; do {EVENT} $n >> events; sleep 1; done; {RESULT}"
    heard = Heard()
    end = ran(wrapped(agent=script), heard)
    assert heard.notes == sorted(set(heard.notes)) and heard.notes[-1] == "measuring 3/9"
    assert end - heard.times[0] > 0.9


def test_none_is_lost_at_the_end_and_half_a_line_is_none(wrapped: Callable[..., DeviceSpec]) -> None:
    heard = Heard()
    ran(wrapped(agent=f"sleep 0.5; {EVENT} 4 >> events; printf '{{\"doing\"' >> events; {RESULT}"), heard)
    assert heard.notes == ["measuring 4/9"]


def test_a_file_that_grows_without_end_is_read_to_a_limit(wrapped: Callable[..., DeviceSpec]) -> None:
    heard = Heard()
    lines = "i=0; while [ $i -lt 40 ]; do head -c 20000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done >> events"
    ran(wrapped(agent=f"{EVENT} 1 >> events; sleep 0.5; {lines}; {EVENT} 2 >> events; sleep 0.5; {RESULT}"), heard)
    assert heard.notes == ["measuring 1/9"]


def test_what_is_no_event_is_passed_over(wrapped: Callable[..., DeviceSpec]) -> None:
    hostile = 'printf \'\\033[2J\\n{"doing": "rm"}\\n{"event": "x", "seen": 99999}\\n\\377\\376\\n\' >> events'
    heard = Heard()
    ran(wrapped(agent=f"{hostile}; {EVENT} 1 >> events; ln -s /dev/zero other; sleep 0.5; {RESULT}"), heard)
    assert heard.notes == ["measuring 1/9"]


def test_after_a_lost_link_it_goes_on_where_it_was(wrapped: Callable[..., DeviceSpec], sshd: Any) -> None:
    cuts: list[str] = []

    def cut(note: str) -> None:
        if not cuts:
            cuts.append(note)
            sshd.stop()
            sshd.start()

    heard = Heard(cut)
    script = f"for n in 1 2 3 4; do {EVENT} $n >> events; sleep 1; done; {RESULT}"
    ran(wrapped(agent=script), heard)
    assert cuts and cuts != ["measuring 4/9"]
    assert heard.notes == sorted(set(heard.notes)) and heard.notes[-1] == "measuring 4/9"


def test_who_does_not_listen_asks_for_no_events(wrapped: Callable[..., DeviceSpec]) -> None:
    job = board_of(wrapped(agent=f"grep -q events request.json && exit 3; {RESULT}")).run(
        {"result": "result.json"}, {}, "result.json", 1000, 30.0
    )
    assert wait_for(job).strip() == b"{}"
