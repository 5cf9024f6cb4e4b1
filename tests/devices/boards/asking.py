"""What the tests ask of a board."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings

TARGET = "digits@board/onnx/w8a8"
SHORT = ProfileSettings(warmup=1, min_inferences=100, min_seconds=2, idle_seconds=1)


def outputs(spec: DeviceSpec, artifact: Artifact, images: Any) -> Any:
    (found,) = connect(spec).infer(artifact, [(images,)], threads=1, time_limit_s=60, target=TARGET)
    return found[0]


def profile(spec: DeviceSpec, artifact: Artifact, images: Any) -> Profile:
    return connect(spec).profile(artifact, (images,), SHORT, TARGET)


def refused(action: Any, *arguments: Any) -> str:
    """Return the message of an action that fails; it is one message, and no job is left on the board."""
    with pytest.raises(DeviceError) as raised:
        action(*arguments)
    told = str(raised.value)
    assert TARGET in told
    assert "Traceback" not in told
    assert not jobs(arguments[0])
    return told


def jobs(spec: DeviceSpec) -> list[Path]:
    assert spec.folder
    return list((Path(spec.folder) / "runs").glob("*"))
