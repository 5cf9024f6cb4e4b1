"""Runs that a process left open when it died."""

import os
from typing import Any

import pytest

from edge_pipeline.hooks.store import Store

BEGIN = """
import os, sys
from pathlib import Path
from edge_pipeline.hooks.store import Store
print(Store({uri!r}, {experiment!r}, Path.cwd()).begin("x", {{}}, {{}}, 1), flush=True)
{then}
"""


@pytest.mark.slow
def test_runs_of_dead_processes_are_killed_and_those_of_living_ones_left(
    store: Store, store_uri: str, client: Any, request: pytest.FixtureRequest, start_python
) -> None:
    mine = store.begin("x", {}, {}, 1)
    ends = ("os.kill(os.getpid(), 9)", "sys.stdin.read()")
    processes = [start_python(BEGIN.format(uri=store_uri, experiment=request.node.nodeid, then=then)) for then in ends]
    dead, living = (process.stdout.readline().strip() for process in processes)
    processes[0].wait(30)
    assert store.reap() == 1
    statuses = {run_id: client.get_run(run_id).info.status for run_id in (mine, dead, living)}
    assert statuses == {mine: "RUNNING", dead: "KILLED", living: "RUNNING"}


@pytest.mark.parametrize("tag", ["process.started"])
def test_a_process_number_that_was_given_anew_does_not_keep_a_run_alive(store: Store, client: Any, tag: str) -> None:
    run_id = store.begin("x", {}, {}, 1)
    client.set_tag(run_id, tag, "another boot/1")
    assert store.reap() == 1
    assert client.get_run(run_id).info.status == "KILLED"


def test_runs_of_other_machines_are_left_alone(store: Store, client: Any) -> None:
    run_id = store.begin("x", {}, {}, 1)
    client.set_tag(run_id, "process.host", "another-machine")
    client.set_tag(run_id, "process.started", "another boot/1")
    assert store.reap() == 0
    assert client.get_run(run_id).info.status == "RUNNING"


def test_runs_that_ended_are_left_alone(store: Store, client: Any) -> None:
    run_id = store.begin("x", {}, {}, 1)
    client.set_tag(run_id, "process.started", "another boot/1")
    store.close(run_id, "FINISHED")
    assert store.reap() == 0
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_run_names_its_process(store: Store, client: Any) -> None:
    tags = client.get_run(store.begin("x", {}, {}, 1)).data.tags
    assert tags["process.id"] == str(os.getpid())
