"""Compile an exported model for the runtime of a target."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge_pipeline.core.types import Artifact, RuntimeName, Target
from edge_pipeline.devices.aihub.compiling import Wishes, compile_there
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.pipelines.references import references
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.chips import chip
from edge_pipeline.runtimes.passes.base import Goal, optimize

CHECKED = 2
"""Number of validation images on which every pass is checked."""


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
    """Return what the target's runtime loads, after graph passes that fit it, or as AI Hub makes it.

    Raises:
        CompileError: the runtime's compiler refused the model, crashed, or took too much time or memory.
    """
    if device.kind == "aihub":
        wishes = Wishes(
            parameters.hub_options,
            parameters.time_limit_s,
            encodings=parameters.hub_source == "encodings",
            link=parameters.hub_link,
            link_options=parameters.hub_link_options,
        )
        return compile_there(device, exported, target, wishes)
    settings = CompileSettings(
        parameters.time_limit_s,
        parameters.memory_limit_mb,
        chip(device.chip) if device.chip else None,
        parameters.qnn,
        cache,
    )
    if target.runtime is RuntimeName.TFLITE:
        return runtime(target.runtime).compile(exported, target, settings)
    optimized, changes = _optimized(exported, target, device, parameters)
    made = runtime(target.runtime).compile(optimized, target, settings)
    return replace(made, parents=exported.lineage, details={**made.details, "optimizations": changes})


def _optimized(
    exported: Artifact, target: Target, device: DeviceSpec, parameters: CompileParameters
) -> tuple[Artifact, list[dict[str, Any]]]:
    """Return the model after the graph passes, and what each did: nothing that differs from run to run."""
    hexagon = device.hexagon if target.runtime.npu else None
    names = None if parameters.optimizations == "auto" else parameters.optimizations
    samples = [one[:CHECKED] for one in references(exported).inputs]
    model, changes = optimize(
        exported.files["model.onnx"], samples, Goal(target.runtime, hexagon, target.precision), names
    )
    told = [{key: value for key, value in asdict(one).items() if key != "seconds"} for one in changes]
    return replace(exported, files={**exported.files, "model.onnx": model}), told
