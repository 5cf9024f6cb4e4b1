"""Do one action with an artifact in a fresh process on this machine."""

import json
import tempfile
from pathlib import Path
from typing import Any

from edge_pipeline.core.child import ChildError, run_child
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import disk_errors
from edge_pipeline.core.types import Artifact
from edge_pipeline.devices.agent.tensors import Tensors, pack


def act(
    action: str,
    artifact: Artifact,
    inputs: Tensors,
    threads: int,
    time_limit_s: float,
    target: str,
    **more: Any,
) -> bytes:
    """Return what `python -m edge_pipeline.devices.agent` writes for `action`; `more` joins its request.

    Raises:
        DeviceError: the artifact cannot be loaded or run, or that takes too long.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = folder / ("result.npz" if action == "infer" else "result.json")
        request = {
            "action": action,
            "runtime": artifact.details["runtime"],
            "model": str(folder / artifact.details["model"]),
            "inputs": str(folder / "inputs.npz"),
            "threads": threads,
            "result": str(result),
            **more,
        }
        with disk_errors(folder / "request.json"):
            artifact.unpack(folder)
            pack(folder / "inputs.npz", inputs)
            (folder / "request.json").write_text(json.dumps(request))
        try:
            run_child("edge_pipeline.devices.agent", [str(folder / "request.json")], time_limit_s=time_limit_s)
            return result.read_bytes()
        except (ChildError, OSError) as error:
            device = "htp_emulator" if "soc_model" in more else "host"
            raise DeviceError(f"{target}: the device '{device}' could not {action} the artifact; {error}") from error
