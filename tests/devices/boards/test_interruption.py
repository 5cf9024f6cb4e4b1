"""Ctrl-C while a board is at work."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.datasets.kedro_io import ArtifactDataset
from edge_pipeline.devices.inventory import DeviceSpec

CODE = """
import sys
from edge_pipeline.datasets.kedro_io import ArtifactDataset
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
import numpy as np
device = connect(DeviceSpec.model_validate_json(sys.argv[1]))
images = np.zeros((2, 1, 8, 8), np.float32)
device.profile(ArtifactDataset(sys.argv[2]).load(), (images,), ProfileSettings(min_seconds=200), "digits@board")
"""


def agents(folder: str) -> list[str]:
    """Return the agents that run in a folder of a board."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str((path / "cwd").resolve()).startswith(folder):
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_agent_stops_and_its_files_are_deleted(
    board: DeviceSpec, onnx_compiled: dict[Precision, Artifact], tmp_path: Path
) -> None:
    ArtifactDataset(str(tmp_path / "compiled")).save(onnx_compiled[Precision.FLOAT])
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, board.model_dump_json(exclude_defaults=True), str(tmp_path / "compiled")],
        stderr=subprocess.DEVNULL,
    )
    runs = Path(board.folder) / "runs"
    deadline = time.monotonic() + 60
    while not (runs.exists() and list(runs.glob("*/started")) and agents(str(runs))):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert list(runs.iterdir()) == []
    assert agents(str(runs)) == []
