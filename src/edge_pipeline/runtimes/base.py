"""What a runtime is, and the list of those that models.yml can name."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, cast

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target

_MODULES = {
    RuntimeName.ONNX: "edge_pipeline.runtimes.onnx",
    RuntimeName.TFLITE: "edge_pipeline.runtimes.litert",
}

_EXTRAS = {RuntimeName.TFLITE: ("litert", ("litert-torch", "ai-edge-litert"))}


PRECISIONS = {
    RuntimeName.ONNX: tuple(Precision),
    RuntimeName.TFLITE: (Precision.FLOAT, Precision.FLOAT16, Precision.W8A8, Precision.MIXED),
}
"""What each runtime can run. LiteRT has no operators on activations of 16 bits with AIMET's zero points, nor on 4-bit
weights of convolutions."""


class Runtime(Protocol):
    """A module that turns an exported model into what its engine runs."""

    def compile(self, exported: Artifact, target: Target, *, time_limit_s: float) -> Artifact:
        """Return a `compiled` artifact with one file, which `details["model"]` names.

        Raises:
            CompileError: the engine's compiler refused the model, crashed, or took too long.
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
    exported: Artifact, target: Target, model: str, data: bytes, tools: dict[str, str], **details: Any
) -> Artifact:
    """Return the `compiled` artifact of one model file."""
    return Artifact(
        "compiled",
        {model: data},
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
