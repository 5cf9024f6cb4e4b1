"""ONNX Runtime: fold constants and drop redundant nodes ahead of time, for any machine."""

import tempfile
from pathlib import Path

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Target
from edge_pipeline.runtimes.base import CompileSettings, compiled


def compile(exported: Artifact, target: Target, settings: CompileSettings) -> Artifact:
    """Return the model after ONNX Runtime's portable optimisations.

    Fusions that depend on the machine are left to the session that loads it.

    Raises:
        CompileError: ONNX Runtime refuses the model.
    """
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(exported.files["model.onnx"], options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise CompileError(f"{target.name}: ONNX Runtime refuses the model: {str(error)[:400]}") from error
        return compiled(
            exported, target, "model.onnx", {"model.onnx": path.read_bytes()}, {"onnxruntime": ort.__version__}
        )
