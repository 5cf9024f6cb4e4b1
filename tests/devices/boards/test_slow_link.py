"""A link with a long delay and little throughput changes nothing but the time."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import jobs, outputs
from tests.devices.boards.slow_proxy import slow_proxy


@pytest.mark.slow
def test_the_outputs_are_the_same(
    board: DeviceSpec, sshd: Any, onnx_compiled: dict[Precision, Artifact], images: Any, tmp_path: Path
) -> None:
    artifact = onnx_compiled[Precision.W8A8]
    user = str(board.address).partition("@")[0]
    with slow_proxy(sshd.port, block=4096, delay_s=0.1) as port:
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {(sshd.folder / 'host.pub').read_text()}")
        slow = board.model_copy(update={"address": f"{user}@127.0.0.1:{port}", "known_hosts": known})
        begun = time.monotonic()
        found = outputs(slow, artifact, images[:3])
        took = time.monotonic() - begun
    np.testing.assert_array_equal(found, outputs(DeviceSpec(kind="host"), artifact, images[:3]))
    assert took > 0.1 * len(artifact.files["model.onnx"]) / 4096
    assert not jobs(board)
