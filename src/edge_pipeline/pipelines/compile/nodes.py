"""Compile an exported model for the runtime of a target."""

from pathlib import Path

from edge_pipeline.core.types import Artifact, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.chips import chip


@isolated("compile")
def compile(
    exported: Artifact,
    cache: Path,
    parameters: CompileParameters,
    *,
    target: Target,
    device: DeviceSpec,
    subject: str,
) -> Artifact:
    """Return what the target's runtime loads.

    Raises:
        CompileError: the runtime's compiler refused the model, crashed, or took too much time or memory.
    """
    settings = CompileSettings(
        parameters.time_limit_s,
        parameters.memory_limit_mb,
        chip(device.chip) if device.chip else None,
        parameters.qnn,
        cache,
    )
    return runtime(target.runtime).compile(exported, target, settings)
