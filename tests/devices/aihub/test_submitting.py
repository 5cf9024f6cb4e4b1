"""A job is made once, whatever happens to the answer or to the run."""

import os
import pickle
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub.faults import Fault
from tests.devices.aihub.conftest import Hub, compile_there, infer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(exported: dict[Precision, Artifact]) -> Artifact:
    return exported[Precision.FLOAT]


@pytest.mark.parametrize("status", [504, 502, 500, None])
def test_an_answer_that_is_lost_after_the_job_was_made_makes_no_second(
    hub: Hub, device: DeviceSpec, source: Artifact, status: int | None
) -> None:
    hub.faults.add(Fault("POST /api/v1/jobs", status, after=True))
    assert compile_there(device, source).files
    assert hub.faults.take("POST", "/api/v1/jobs") is None, "it happened"
    assert len(hub.jobs()) == 1


def test_the_same_thing_asked_for_twice_at_once_is_one_job(hub: Hub, device: DeviceSpec, source: Artifact) -> None:
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: compile_there(device, source).hash, range(3)))
    assert len(set(made)) == 1
    assert len(hub.jobs()) == 1
    assert hub.count("models") == 2, "sent once, made once"


def test_a_hub_that_takes_no_more_requests_is_asked_again(hub: Hub, device: DeviceSpec, source: Artifact) -> None:
    hub.faults.add(*[Fault("POST /api/v1/jobs", status) for status in (429, 429, 503)])
    assert compile_there(device, source).files
    assert len(hub.jobs()) == 1


def test_a_hub_that_never_takes_the_job_is_told(hub: Hub, device: DeviceSpec, source: Artifact) -> None:
    hub.faults.add(*[Fault("POST /api/v1/jobs", 429)] * 50)
    with pytest.raises(CompileError, match="takes no more requests for now"):
        compile_there(device, source)
    assert hub.jobs() == []


@pytest.mark.parametrize("action", ["compile", "inference"])
@pytest.mark.parametrize("when", ["before the answer", "after the answer"])
def test_a_run_that_was_killed_finds_its_own_job(
    hub: Hub, device: DeviceSpec, source: Artifact, images: Any, tmp_path: Path, when: str, action: str
) -> None:
    artifact = compile_there(device, source) if action == "inference" else None
    before = len(hub.jobs())
    (tmp_path / "work").write_bytes(pickle.dumps((device, source, artifact, images)))
    dies = "Client.post_job" if when == "before the answer" else "jobs._submitted"
    script = f"""
import os, pickle, sys
from edge_pipeline.devices.aihub import jobs
from edge_pipeline.devices.aihub.client import Client
from tests.devices.aihub.conftest import compile_there, infer
work = {dies}
def dies(*given):
    work(*given)
    os._exit(9)
{dies} = dies
device, source, artifact, images = pickle.load(open(sys.argv[1], "rb"))
infer(device, artifact, images) if artifact else compile_there(device, source)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "work")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == 9, done.stderr.decode()
    assert len(hub.jobs()) == before + 1
    if artifact:
        assert infer(device, artifact, images)[0][0].shape == (7, 10)
    else:
        assert compile_there(device, source).files
    assert len(hub.jobs()) == before + 1, "the same job was taken up"


def test_a_failed_job_is_told_with_its_page_and_is_tried_again_when_asked_for_again(
    hub: Hub, device: DeviceSpec, source: Artifact
) -> None:
    for count in (1, 2):
        with pytest.raises(CompileError) as raised:
            compile_there(device, source, options="--no_such_option 1")
        told = str(raised.value)
        assert told.startswith("digits@cloud/onnx/float: the job j")
        assert "failed on AI Hub (invalid argument)" in told
        assert "'--no_such_option' is not supported by this hub" in told
        assert f"Its page: {hub.address}/jobs/j" in told
        assert "look at `compile.hub_options`" in told
        assert len(hub.jobs()) == count


def test_every_type_of_failure_is_told_with_advice(
    hub: Hub, device: DeviceSpec, source: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.hub import jobs

    for word, value in [*pb.JobFailureType.items(), ("JOB_FAILURE_TYPE_UNKNOWN", 99)]:
        monkeypatch.setattr(jobs, "_failure", lambda _, value=value: value)
        with pytest.raises(CompileError) as raised:
            compile_there(device, source, options="--no_such_option 1")
        kind = word.removeprefix("JOB_FAILURE_TYPE_").lower().replace("_", " ")
        assert f"failed on AI Hub ({kind}): the option" in str(raised.value)
        assert re.search(r"Its page: \S+\. What to do: .{20}", str(raised.value))


def test_a_state_that_this_client_does_not_know_is_waited_through(
    hub: Hub, device: DeviceSpec, source: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.core import progress
    from edge_pipeline.hub import protocol

    states: list[str] = []
    asked = 0

    class Listener:
        def entered(self, step: str, state: str) -> None:
            states.append(state)

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    answered = protocol.Protocol.answer

    def newer(self: Any, method: str, path: str, request: Any) -> Any:
        nonlocal asked
        found = answered(self, method, path, request)
        if "/jobs/j" in path and not path.rstrip("/").endswith("result") and asked < 3:
            asked += 1
            found.compile_job.job_state = 77
        return found

    monkeypatch.setattr(protocol.Protocol, "answer", newer)
    monkeypatch.setattr(progress, "listeners", [Listener()])
    monkeypatch.setattr("edge_pipeline.devices.aihub.jobs.listeners", [])
    assert compile_there(device, source).files
    assert asked == 3
    assert states[0] == "state 77" and states.count("state 77") == 1, "every state is told once"


def test_a_job_that_takes_too_long_is_taken_up_by_the_next_run(
    hub: Hub, device: DeviceSpec, source: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.devices.aihub.compiling import Wishes
    from edge_pipeline.devices.aihub.compiling import compile_there as compile_within
    from edge_pipeline.hub import work
    from tests.devices.aihub.conftest import target

    enter = work.models.exported

    def slow(*given: Any) -> Any:
        time.sleep(1)
        return enter(*given)

    monkeypatch.setattr(work.models, "exported", slow)
    with pytest.raises(CompileError, match=r"took longer than 0.1 s on AI Hub: raise `time_limit_s`") as raised:
        compile_within(device, source, target(), Wishes(time_limit_s=0.1))
    cause = raised.value.__cause__
    assert isinstance(cause, DeviceError) and cause.trouble == "timeout"
    assert compile_there(device, source).files
    assert len(hub.jobs()) == 1


def test_ctrl_c_ends_waiting_at_once_and_the_next_run_takes_up_the_job(
    hub: Hub,
    device: DeviceSpec,
    source: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import asyncio
    import threading

    from edge_pipeline.devices.aihub import jobs
    from edge_pipeline.devices.boards import jobs as boards

    monkeypatch.setattr(jobs, "FIRST_POLL_S", 60.0)
    monkeypatch.setattr(jobs, "LONGEST_POLL_S", 60.0)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            compile_there(device, source)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not hub.jobs():
        time.sleep(0.05)
    time.sleep(0.5)
    assert thread.is_alive(), "it waits for the next poll"
    boards.stop_all()
    thread.join(5)
    boards.allow()
    assert not thread.is_alive()
    assert isinstance(ended[0], asyncio.CancelledError)
    assert "goes on there" in caplog.text and f"{hub.address}/jobs/j" in caplog.text
    monkeypatch.setattr(jobs, "FIRST_POLL_S", 0.05)
    assert compile_there(device, source).files
    assert len(hub.jobs()) == 1
