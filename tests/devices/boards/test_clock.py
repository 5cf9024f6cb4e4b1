"""A board's clock may be years off and may be set while it is used: nothing depends on it."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.files import sha256
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import outputs

YEARS_S = 20 * 365 * 86_400

Shifted = Callable[..., DeviceSpec]


@pytest.fixture
def shifted(wrapped: Callable[..., DeviceSpec], tmp_path: Path) -> Shifted:
    """Return a function that makes a board whose Python sees another time."""

    def make(seconds: int, **changes: Any) -> DeviceSpec:
        folder = tmp_path / f"clock{seconds}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import os, time\n"
            f"real, utime = time.time, os.utime\ntime.time = lambda: real() + {seconds}\n"
            "os.utime = lambda path, times=None: utime(path, times or (time.time(),) * 2)\n"
        )
        shift = f"export PYTHONPATH={folder}"
        return wrapped(agent=shift, step=shift, **changes)

    return make


@pytest.mark.parametrize("seconds", [-YEARS_S, YEARS_S])
def test_a_clock_that_is_years_off(
    shifted: Shifted, onnx_compiled: dict[Precision, Artifact], images: Any, seconds: int
) -> None:
    artifact = onnx_compiled[Precision.W8A8]
    wanted = outputs(DeviceSpec(kind="host"), artifact, images[:2])
    board = shifted(seconds)
    for _ in range(2):
        np.testing.assert_array_equal(outputs(board, artifact, images[:2]), wanted)


def test_the_file_that_was_used_last_stays_after_the_clock_was_set_back(
    shifted: Shifted, onnx_compiled: dict[Precision, Artifact], images: Any
) -> None:
    model = onnx_compiled[Precision.W8A8]
    first, second, third = (replace(model, files={**model.files, "more.bin": os.urandom(700_000)}) for _ in range(3))

    def there(artifact: Artifact) -> bool:
        return (Path(str(board.folder)) / "files" / sha256(artifact.files["more.bin"])).exists()

    board = shifted(YEARS_S, cache_mb=2)
    outputs(board, first, images[:2])
    board = shifted(0, cache_mb=2)
    outputs(board, second, images[:2])
    assert there(first) and there(second)
    outputs(board, third, images[:2])
    assert (there(first), there(second), there(third)) == (False, True, True)
