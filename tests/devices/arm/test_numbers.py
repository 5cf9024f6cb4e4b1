"""A board with another processor gives the numbers of this machine."""

from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec, connect

pytestmark = pytest.mark.slow


def both(board: DeviceSpec, artifact: Artifact, images: Any) -> list[Any]:
    """Return the outputs of this machine and of the board."""
    limits: Any = {"threads": 1, "time_limit_s": 300, "target": "digits@arm_board"}
    return [
        next(iter(connect(one).infer(artifact, [(images,)], **limits)))[0] for one in (DeviceSpec(kind="host"), board)
    ]


@pytest.mark.parametrize("compiled", ["onnx_compiled", "litert_compiled"])
def test_int8_bit_by_bit(arm_board: DeviceSpec, images: Any, compiled: str, request: pytest.FixtureRequest) -> None:
    here, there = both(arm_board, request.getfixturevalue(compiled)[Precision.W8A8], images)
    np.testing.assert_array_equal(there, here)


@pytest.mark.parametrize("compiled", ["onnx_compiled", "litert_compiled"])
def test_float(arm_board: DeviceSpec, images: Any, compiled: str, request: pytest.FixtureRequest) -> None:
    here, there = both(arm_board, request.getfixturevalue(compiled)[Precision.FLOAT], images)
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-4 * float(np.abs(here).max()))
