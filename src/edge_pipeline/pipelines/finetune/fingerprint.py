"""What decides the weights of a training, as one hash: a checkpoint is resumed only if it is the same."""

import dataclasses
import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.core.types import Split
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters

_LIBRARIES = ("torch", "torchvision", "timm", "ultralytics")
_OF_THE_RUN = {"resume", "workers"}
"""Parameters that change nothing of the result."""


def fingerprint(spec: ModelSpec, split: Split, parameters: FinetuneParameters, name: str) -> str:
    """Hash of all that decides the trained weights: model, data, split, parameters, code and libraries."""
    start = parameters.checkpoint.read_bytes() if parameters.checkpoint and parameters.checkpoint.is_file() else b""
    return sha256(
        json_bytes(
            {
                "model": name,
                "spec": spec.model_dump(mode="json", exclude={"dataset", "targets", "default", "metric"}),
                "split": dataclasses.asdict(split),
                "parameters": parameters.model_dump(mode="json", exclude=_OF_THE_RUN),
                "start": sha256(start),
                "code": [sha256(path.read_bytes()) for path in _sources(spec)],
                "libraries": {library: _version(library) for library in _LIBRARIES},
            }
        )
    )


def _sources(spec: ModelSpec) -> list[Path]:
    """Return our source files that a training runs, and those of the user's modules that the model names."""
    package = Path(__file__).parents[2]
    own = [*sorted((package / "models").glob("*.py")), *sorted((package / "pipelines" / "finetune").glob("*.py"))]
    named = [getattr(spec, key, None) for key in ("factory", "loss")]
    return own + [path for one in named if one for path in file_of(one.partition(":")[0])]


def file_of(module: str) -> list[Path]:
    """Return the source file of a module; nothing if it has none."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = getattr(sys.modules.get(module), "__spec__", None)
    origin = found.origin if found else None
    return [Path(origin)] if origin and Path(origin).is_file() else []


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
