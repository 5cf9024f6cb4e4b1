"""What a runtime is, and the list of those that models.yml can name."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, cast

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.runtimes.chips import Chip
from edge_pipeline.runtimes.qnn_options import QnnOptions

_MODULES = {
    RuntimeName.ONNX: "edge_pipeline.runtimes.onnx",
    RuntimeName.TFLITE: "edge_pipeline.runtimes.litert",
    RuntimeName.QNN_CONTEXT_BINARY: "edge_pipeline.runtimes.qnn",
    RuntimeName.PRECOMPILED_QNN_ONNX: "edge_pipeline.runtimes.qnn",
}

_QNN = ("qnn", ("onnxruntime-qnn", "onnxruntime"))
_EXTRAS = {
    RuntimeName.TFLITE: ("litert", ("litert-torch", "ai-edge-litert")),
    RuntimeName.QNN_CONTEXT_BINARY: _QNN,
    RuntimeName.PRECOMPILED_QNN_ONNX: _QNN,
}

_ON_NPU = tuple(precision for precision in Precision if precision is not Precision.FLOAT)

PRECISIONS = {
    RuntimeName.ONNX: tuple(Precision),
    RuntimeName.TFLITE: (Precision.FLOAT, Precision.FLOAT16, Precision.W8A8, Precision.MIXED),
    RuntimeName.QNN_CONTEXT_BINARY: _ON_NPU,
    RuntimeName.PRECOMPILED_QNN_ONNX: _ON_NPU,
}
"""What each runtime can run. LiteRT has no operators on activations of 16 bits with AIMET's zero points, nor on 4-bit
weights of convolutions. The NPU computes in float16, not in float."""


@dataclass(frozen=True)
class CompileSettings:
    """What a compiler may take, and what it compiles for.

    Attributes:
        time_limit_s: seconds until it is stopped.
        memory_limit_mb: 10^6 bytes that a compiler in a process of its own may allocate.
        chip: that of the device, if it is known.
        qnn: options of the NPU's compiler.
        cache: folder in which compilations are kept by their content; `None`: nothing is kept.
    """

    time_limit_s: float
    memory_limit_mb: int = 8000
    chip: Chip | None = None
    qnn: QnnOptions = field(default_factory=QnnOptions)
    cache: Path | None = None


class Runtime(Protocol):
    """A module that turns an exported model into what its engine runs."""

    def compile(self, exported: Artifact, target: Target, settings: CompileSettings) -> Artifact:
        """Return a `compiled` artifact; `details["model"]` names the file that the engine opens.

        Raises:
            CompileError: the engine's compiler refused the model, crashed, or took too much time or memory.
        """


def packages(name: RuntimeName) -> dict[str, str]:
    """Return the versions of the packages behind an extra that the runtime needs.

    Raises:
        CompileError: one is not installed.
    """
    extra, needed = _EXTRAS.get(name, ("", ()))
    try:
        return {package: version(package) for package in needed}
    except PackageNotFoundError as error:
        raise CompileError(
            f"the runtime '{name}' needs the package {error.name}. Install it with "
            f"`pip install 'edge-pipeline[{extra}]'`, or remove '{name}' from the targets in models.yml."
        ) from error


def runtime(name: RuntimeName) -> Runtime:
    """Import and return the runtime `name`."""
    return cast(Runtime, importlib.import_module(_MODULES[name]))


def compiled(
    exported: Artifact, target: Target, model: str, files: Mapping[str, bytes], tools: dict[str, str], **details: Any
) -> Artifact:
    """Return the `compiled` artifact of `files`, of which the engine opens `model`."""
    return Artifact(
        "compiled",
        dict(files),
        exported.lineage,
        exported.inputs,
        exported.outputs,
        {**exported.tools, **tools},
        {
            "model": model,
            "runtime": target.runtime.value,
            "precision": target.precision.value,
            "interface": exported.details["interface"],
            **details,
        },
    )
