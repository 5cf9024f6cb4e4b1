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
from edge_pipeline.devices.news import Following, Tell

DESCRIBE_S = 60.0
"""Seconds that the agent may take to look around."""


def act(
    action: str,
    artifact: Artifact,
    inputs: Tensors,
    threads: int,
    time_limit_s: float,
    target: str,
    tell: Tell | None = None,
    **more: Any,
) -> bytes:
    """Return what `python -m edge_pipeline.devices.agent` writes for `action`; `more` joins its request.

    `tell` is told what it does, about once a second.

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
        following = Following(folder / "events", tell) if tell else None
        if following:
            request["events"] = str(folder / "events")
        with disk_errors(folder / "request.json"):
            artifact.unpack(folder)
            pack(folder / "inputs.npz", inputs)
            (folder / "request.json").write_text(json.dumps(request))
        try:
            run_child(
                "edge_pipeline.devices.agent",
                [str(folder / "request.json")],
                time_limit_s=time_limit_s,
                tick=following.look if following else None,
            )
            return result.read_bytes()
        except (ChildError, OSError) as error:
            device = "htp_emulator" if "soc_model" in more else "host"
            raise DeviceError(f"{target}: the device '{device}' could not {action} the artifact; {error}") from error


def describe() -> dict[str, Any]:
    """Return what the agent finds on this machine: providers, delegates, power sensors.

    Raises:
        DeviceError: it cannot be run.
    """
    with tempfile.TemporaryDirectory() as name:
        request, result = Path(name) / "request.json", Path(name) / "result.json"
        with disk_errors(request):
            request.write_text(json.dumps({"action": "describe", "result": str(result)}))
        try:
            run_child("edge_pipeline.devices.agent", [str(request)], time_limit_s=DESCRIBE_S)
            found: dict[str, Any] = json.loads(result.read_text())
        except (ChildError, OSError) as error:
            raise DeviceError(f"the device 'host' could not describe itself; {error}") from error
        return found
