"""Android devices on the command line and in the MLflow store."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_pipeline.devices.inventory import DeviceSpec
from tests.e2e.conftest import Project, new_project

pytestmark = pytest.mark.slow


@pytest.fixture
def project(board: DeviceSpec, tmp_path: Path) -> Project:
    """A project with the phone, and one that is not there."""
    found = new_project(tmp_path / "project")
    entry = board.model_dump(mode="json", include={"kind", "address", "python", "folder"})
    devices = {"phone": entry, "gone": {"kind": "adb", "address": "R58M123ABC"}}
    path = found.root / "conf/base/devices.yml"
    path.write_text(f"{path.read_text()}\n{yaml.safe_dump(devices)}")
    return found


def test_an_android_device_is_listed_with_its_model_and_version(project: Project) -> None:
    found = project.kedro("edge", "devices", "phone").succeeded().output
    (line,) = [line for line in found.splitlines() if line.startswith("phone ")]
    assert " adb " in line and " ready " in line
    assert "Edge Phone, Android 14" in line


def test_one_that_is_not_there_is_told_with_the_reason_and_the_serials(project: Project, board: DeviceSpec) -> None:
    project.kedro("edge", "devices", "phone").succeeded()
    found = project.kedro("edge", "devices", "gone")
    assert found.status == 1
    assert "unreachable" in found.output and "Traceback" not in found.output
    assert f"there is no device 'R58M123ABC'; adb knows {board.address}" in found.output


def test_a_run_measures_and_validates_on_the_phone(project: Project, phone: Any) -> None:
    project.configure(model={"targets": {"devices": ["phone"], "runtimes": ["onnx"], "precisions": ["float"]}})
    project.kedro("run").succeeded()
    (run,) = [one for one in project.runs() if one.info.run_name == "digits@phone/onnx/float"]
    assert run.info.status == "FINISHED"
    assert run.data.params["device"] == "phone"
    assert {"latency_p50_ms", "load_ms", "peak_memory_mb", "accuracy"} <= set(run.data.metrics)
