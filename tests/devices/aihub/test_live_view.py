"""One view of all jobs: while a run waits for them, after Ctrl-C, and from the command line."""

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from rich.console import Console

from edge_pipeline.core import progress
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.aihub import jobs
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hooks.progress import ProgressBars
from edge_pipeline.pipelines.wiring import bind
from edge_pipeline.runner import DeviceRunner
from tests.devices.aihub.conftest import Hub, compile_there, target

PATIENCE_S = 30.0


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let the hub hold all compilations until this is set."""
    from edge_pipeline.hub import work

    goes_on, compiled = threading.Event(), work.models.exported

    def held(*given: Any) -> Any:
        assert goes_on.wait(PATIENCE_S)
        return compiled(*given)

    monkeypatch.setattr(work.models, "exported", held)
    yield goes_on
    goes_on.set()


@pytest.fixture
def cli(device: DeviceSpec, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs `kedro edge hub jobs` in a project with the device."""
    from edge_pipeline.cli.hub import command
    from edge_pipeline.pipelines.config import Project

    monkeypatch.setattr("edge_pipeline.pipeline_registry.load_project", lambda: Project(Path(), {}, {"cloud": device}))
    monkeypatch.setattr("edge_pipeline.cli.hub_jobs.EVERY_S", 0.1)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *more: CliRunner().invoke(command, ["jobs", *more])


def nodes(device: DeviceSpec, sources: dict[str, Artifact]) -> list[Node]:
    """Return a compile node for each of the sources, as the pipeline has them."""

    def compiling(source: Artifact, name: str) -> Any:
        def work(*, device: DeviceSpec) -> Any:
            return compile_there(device, source, target(precision=name))

        return Node(bind(work, device=device), None, name, name=name, tags={"compile"})

    return [compiling(source, name) for name, source in sources.items()]


def run(*every: Node) -> Any:
    return DeviceRunner().run(Pipeline(every), DataCatalog(), _create_hook_manager())


def until(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_jobs_of_one_device_are_at_the_hub_at_once_and_every_state_has_a_line(
    hub: Hub,
    device: DeviceSpec,
    exported: dict[Precision, Artifact],
    slow: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    console = Console(file=io.StringIO(), width=200)
    bars = ProgressBars(console, 2)
    monkeypatch.setattr(progress, "listeners", [bars])
    monkeypatch.setattr(jobs, "listeners", [bars])
    made: list[Any] = []
    thread = threading.Thread(
        target=lambda: made.append(
            run(*nodes(device, {"float": exported[Precision.FLOAT], "w8a8": exported[Precision.W8A8]}))
        )
    )
    thread.start()
    until(lambda: len(hub.jobs()) == 2)
    slow.set()
    thread.join(PATIENCE_S)
    bars.close()
    assert {name: dataset.load().kind for name, dataset in made[0].items()} == {"float": "compiled", "w8a8": "compiled"}
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    ids = [one.job_id for one in hub.official().get_job_summaries()]
    for name in ("float", "w8a8"):
        mine = [
            one.partition(" s  ")[2] for one in lines if f"digits@cloud/onnx/{name}: compile on AI Hub, job " in one
        ]
        assert "optimizing model" in [one.rsplit("  ", 1)[-1] for one in mine]
        assert mine[-1].endswith("  done")
        assert any(job in mine[0] for job in ids)
        assert len(mine) == len(set(mine)), "every state once"


def test_ctrl_c_says_which_jobs_go_on_and_the_next_run_takes_them_up(
    hub: Hub,
    device: DeviceSpec,
    exported: dict[Precision, Artifact],
    slow: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sources = {"float": exported[Precision.FLOAT], "w8a8": exported[Precision.W8A8]}

    def interrupt() -> None:
        until(lambda: len(hub.jobs()) == 2)
        time.sleep(0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(*nodes(device, sources), Node(interrupt, None, "here", name="here"))
    for one in hub.official().get_job_summaries():
        (line,) = [record.getMessage() for record in caplog.records if one.job_id in record.getMessage()]
        assert one.name in line and f"{hub.address}/jobs/{one.job_id}/" in line
        assert "goes on there" in line and "the next run takes it up" in line
    slow.set()
    run(*nodes(device, sources))
    assert len(hub.jobs()) == 2


def test_ctrl_c_while_a_job_is_asked_for_says_its_name(
    hub: Hub,
    device: DeviceSpec,
    exported: dict[Precision, Artifact],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edge_pipeline.devices.aihub.client import Client

    post = Client.post_job

    def interrupted(*given: Any) -> str:
        post(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "post_job", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compile_there(device, exported[Precision.FLOAT])
    (name,) = hub.jobs()
    assert f"digits@cloud/onnx/float: AI Hub was being asked for the job '{name}'" in caplog.text
    monkeypatch.setattr(Client, "post_job", post)
    assert compile_there(device, exported[Precision.FLOAT]).files
    assert hub.jobs() == [name]


def test_the_command_lists_jobs_with_their_states(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], cli: Any
) -> None:
    assert f"No jobs were submitted to {hub.address} from here." in cli().output
    compile_there(device, exported[Precision.FLOAT])
    with pytest.raises(Exception, match="not supported"):
        compile_there(device, exported[Precision.FLOAT], options="--no_such 1")
    found = cli()
    assert found.exit_code == 0, found.output
    head, failed, done, last = found.output.splitlines()
    assert head.split() == ["target", "kind", "device", "state", "seconds", "job", "name"]
    newest, oldest = hub.official().get_job_summaries()
    for line, one, state in ((failed, newest, "failed"), (done, oldest, "done")):
        cells = line.split()
        assert cells[:4] == ["digits@cloud/onnx/float", "compile", "host", state]
        assert 0 <= float(cells[4]) < PATIENCE_S
        assert cells[5] == one.job_id and line.rstrip().endswith(one.name)
    assert last == f"2 of 2 jobs at {hub.address}, 0 of them not ended"
    assert f"1 of 2 jobs at {hub.address}" in cli("--limit", "1").output
    hub.configure("wrong")
    refused = cli()
    assert refused.exit_code == 1 and "does not accept the token" in refused.output


def test_the_command_watches_until_all_have_ended(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], slow: threading.Event, cli: Any
) -> None:
    thread = threading.Thread(target=lambda: compile_there(device, exported[Precision.FLOAT]))
    thread.start()
    until(lambda: hub.jobs() and list((Path(device.folder or "")).rglob("compile/*.json")))
    cli()  # what the command imports is there when the time begins
    timer = threading.Timer(3.0, slow.set)
    timer.start()
    found = cli("--watch")
    thread.join(PATIENCE_S)
    assert found.exit_code == 0, found.output
    states = [line.split()[3] for line in found.output.splitlines()[:-1] if "host" in line]
    assert states and states[-1] == "done" and "optimizing" in states, found.output
    assert len(states) == len(set(states))


def test_a_profile_stays_in_the_list_after_its_result_was_taken(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], cli: Any
) -> None:
    from edge_pipeline.devices.aihub.hub import opened

    compile_there(device, exported[Precision.FLOAT])
    _, ledger = opened(device.folder)
    (path,) = Path(device.folder or "").rglob("compile/*.json")
    jobs.forget(ledger, "compile", path.stem)
    jobs.forget(ledger, "compile", path.stem)
    assert hub.jobs()[0] in cli().output


def test_a_job_that_is_just_being_asked_for_is_waited_for(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], cli: Any
) -> None:
    compile_there(device, exported[Precision.FLOAT])
    (path,) = Path(device.folder or "").rglob("compile/*.json")
    record = json.loads(path.read_bytes())
    path.write_text(json.dumps({**record, "id": "", "since": time.time()}))
    timer = threading.Timer(2.0, lambda: path.write_text(json.dumps(record)))
    timer.start()
    found = cli("--watch")
    timer.join()
    lines = [line.split() for line in found.output.splitlines()]
    assert "unknown" in lines[0] and "done" in lines[-2], found.output
    path.write_text(json.dumps({**record, "id": "", "since": time.time() - 3600}))
    assert "0 of them not ended" in cli("--watch").output
