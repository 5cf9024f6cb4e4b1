"""`kedro run` with a board of another processor beside this machine."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.devices.inventory import VIRTUAL, DeviceSpec
from tests.devices.arm.board import emulated_board


@pytest.fixture
def arm_board(lacking: Callable[[str], None], needs: Callable[[str], Any], tmp_path: Path) -> Iterator[DeviceSpec]:
    needs("asyncssh")
    (tmp_path / "arm").mkdir()
    with emulated_board(tmp_path / "arm", lacking) as spec:
        yield spec


@pytest.mark.slow
def test_its_targets_finish_beside_those_of_this_machine(
    arm_board: DeviceSpec, ready_project: Callable[[Path], Any], tmp_path: Path
) -> None:
    project = ready_project(tmp_path / "project")
    entry = arm_board.model_dump(mode="json", exclude_unset=True)
    project.write("conf/base/devices.yml", {"host": {"kind": "host"}, "arm_board": entry})
    targets = {"devices": ["host", "arm_board"], "runtimes": ["onnx"], "precisions": ["w8a8"]}
    project.configure({"targets": targets})
    printed = project.kedro("run", "--pipelines", "digits").succeeded().output
    names = [f"digits@{device}/onnx/w8a8" for device in ("arm_board", "host")]
    assert sum(VIRTUAL in line for line in printed.splitlines()) == 1
    reports = project.root / "data" / "08_reporting" / "digits"
    with (reports / "scorecard.csv").open() as file:
        rows = {row["target"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == names
    assert rows[names[0]]["accuracy"] == rows[names[1]]["accuracy"]
    profile = json.loads((reports / "arm_board-onnx-w8a8" / "profile.json").read_text())["record"]
    assert profile["device"]["system"].endswith("aarch64") and profile["device"]["note"] == VIRTUAL
    statuses = project.statuses()
    assert [statuses[name] for name in names] == ["FINISHED", "FINISHED"]
