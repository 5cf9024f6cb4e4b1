"""LiteRT: convert the exported program to a TFLite model in a process of its own."""

import tempfile
from pathlib import Path

from edge_pipeline.core.child import ChildError, run_child
from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.files import disk_errors
from edge_pipeline.core.types import Artifact, Target
from edge_pipeline.runtimes.base import CompileSettings, compiled, packages


def compile(exported: Artifact, target: Target, settings: CompileSettings) -> Artifact:
    """Return a TFLite model; the integers of a quantized one are AIMET's, not LiteRT's.

    Raises:
        CompileError: LiteRT is not installed, its converter refuses the model, crashes, or takes too long.
    """
    tools = packages(target.runtime)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "model.pt2", Path(folder) / "model.tflite"
        with disk_errors(source):
            source.write_bytes(exported.files["model.pt2"])
        mode = "quantized" if target.precision.quantized else target.precision.value
        try:
            run_child(
                "edge_pipeline.runtimes.litert_convert",
                [str(source), str(result), mode],
                time_limit_s=settings.time_limit_s,
            )
        except ChildError as error:
            raise CompileError(f"{target.name}: the LiteRT converter failed; {error}") from error
        return compiled(exported, target, "model.tflite", {"model.tflite": result.read_bytes()}, tools)
