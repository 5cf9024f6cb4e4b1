"""Compile an exported model for the runtime of a target."""

from edge_pipeline.core.types import Artifact, Target
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.pipelines.isolation import isolated
from edge_pipeline.runtimes.base import runtime


@isolated("compile")
def compile(exported: Artifact, parameters: CompileParameters, *, target: Target, subject: str) -> Artifact:
    """Return what the target's runtime loads.

    Raises:
        CompileError: the runtime's compiler refused the model, crashed, or took too long.
    """
    return runtime(target.runtime).compile(exported, target, time_limit_s=parameters.time_limit_s)
