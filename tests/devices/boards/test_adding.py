"""A board is looked at, its entry written, and the device tried out."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.adding import append, entry_of, probe
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.selftest import selftest


def wanted(board: DeviceSpec, **more: Any) -> dict[str, Any]:
    given = board.model_dump(mode="json", exclude_unset=True)
    return {key: given[key] for key in ("kind", "address", "keys", "known_hosts", "folder")} | more


def test_a_board_tells_what_its_entry_needs(board: DeviceSpec) -> None:
    found, python = probe(wanted(board, python=sys.executable))
    entry, _ = entry_of(wanted(board, python=python), found)
    assert entry["runtimes"] == ["onnx", "tflite"]
    assert entry["python"] == sys.executable
    assert DeviceSpec.model_validate(entry).engines == ("onnx", "tflite")


def test_a_python_with_runtimes_is_looked_for(board: DeviceSpec, tmp_path: Path, monkeypatch: Any) -> None:
    place = tmp_path / "venv" / "bin" / "python"
    place.parent.mkdir(parents=True)
    place.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    place.chmod(0o755)
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # no site-packages
    bare.chmod(0o755)
    monkeypatch.setattr("edge_pipeline.devices.adding.PYTHONS", (str(bare), str(place)))
    _, python = probe(wanted(board))
    assert python == str(place)
    monkeypatch.setattr("edge_pipeline.devices.adding.PYTHONS", (str(bare),))
    found, python = probe(wanted(board))
    _, remarks = entry_of(wanted(board, python=python), found)
    assert any("pip install numpy onnxruntime" in one for one in remarks)


@pytest.mark.parametrize(
    ("hardware", "chip"),
    [
        (["Qualcomm Technologies, Inc. Robotics RB3gen2", "qcom,qcs6490-rb3gen2", "qcom,qcm6490"], "QCS6490"),
        (["qcom,qcs8550-iot", "qcom,qcs8550"], "QCS8550"),
        (["Raspberry Pi 5 Model B", "brcm,bcm2712"], None),
        (["../../etc/passwd\n- evil: true"], None),
    ],
)
def test_a_known_chip_is_recognised(hardware: list[str], chip: str | None) -> None:
    entry, remarks = entry_of(
        {"kind": "ssh", "address": "edge@192.0.2.7", "python": "python3"}, {"packages": {}, "hardware": hardware}
    )
    assert entry.get("chip") == chip
    assert any("its chip is not known" in one for one in remarks) == (chip is None)


def test_a_board_that_does_not_answer_is_not_added(board: DeviceSpec) -> None:
    with pytest.raises(DeviceError, match="cannot be reached"):
        probe(wanted(board, address="edge@127.0.0.1:1"))


def test_comments_and_order_of_the_file_stay(tmp_path: Path) -> None:
    path = tmp_path / "devices.yml"
    path.write_text("# mine\nhost:\n  kind: host   # this one")
    append(path, "rb3", {"kind": "ssh", "address": "edge@192.0.2.7"})
    assert (
        path.read_text() == "# mine\nhost:\n  kind: host   # this one\nrb3:\n  kind: ssh\n  address: edge@192.0.2.7\n"
    )


@pytest.mark.parametrize("text", ["- a\n- list\n", "{host: {kind: host}\n"])
def test_a_file_that_cannot_be_extended_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "devices.yml"
    path.write_text(text)
    with pytest.raises(DeviceError, match="add by hand"):
        append(path, "rb3", {"kind": "ssh", "address": "edge@192.0.2.7"})
    assert path.read_text() == text


@pytest.mark.slow
def test_a_device_that_works_passes_its_check(board: DeviceSpec) -> None:
    steps = {step.name: step for step in selftest("board", board)}
    assert "CPUExecutionProvider" in steps["engines"].told and "tflite: xnnpack, none" in steps["engines"].told
    assert steps["power sensors"].told
    assert not [step for step in steps.values() if step.ok is False]
    assert steps["onnx"].told == steps["tflite"].told == "computes as on this machine"
    assert "p50" in steps["onnx: measures"].told


def test_a_runtime_that_is_missing_fails_the_check(board: DeviceSpec, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    spec = board.model_copy(update={"python": str(bare), "runtimes": (RuntimeName.ONNX,)})
    steps = {step.name: step for step in selftest("board", spec)}
    assert steps["answers"].ok
    assert steps["onnx"].ok is False


def test_a_device_that_does_not_answer_fails_its_check(board: DeviceSpec) -> None:
    (step,) = selftest("board", board.model_copy(update={"address": "edge@127.0.0.1:1"}))
    assert step.ok is False
    assert "cannot be reached" in step.told


@pytest.mark.slow
def test_the_commands_write_an_entry_and_check_it(board: DeviceSpec, tmp_path: Path) -> None:
    root, project = Path(__file__).parents[3], tmp_path / "project"
    for name in ("conf", "src"):
        shutil.copytree(root / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", project)

    def kedro(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "kedro", "edge", "devices", *arguments], cwd=project, capture_output=True, text=True
        )

    address = f"ssh://{board.address}"
    trust = ["--key", str(board.keys[0]), "--known-hosts", str(board.known_hosts)]
    done = kedro("add", address, "--name", "rb3", *trust, "--python", sys.executable, "--chip", "QCS6490")
    assert done.returncode == 0, done.stdout + done.stderr
    entry = yaml.safe_load((project / "conf" / "base" / "devices.yml").read_text())["rb3"]
    assert entry["chip"] == "QCS6490"
    assert entry["runtimes"] == ["onnx", "tflite"]
    again = kedro("add", address, "--name", "rb3", *trust)
    assert again.returncode == 1
    assert "there is a device 'rb3' already" in again.stderr
    checked = kedro("check", "rb3")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "onnx: computes as on this machine" in checked.stdout
    assert "rb3" in kedro().stdout
    assert "did you mean 'rb3'" in kedro("check", "rb4").stderr
    assert "no address" in kedro("add", "rb3").stderr
