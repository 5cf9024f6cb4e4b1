"""The words of the project as small frozen dataclasses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from edge_pipeline.core.files import json_bytes, sha256


class Precision(StrEnum):
    """Number formats of weights (w) and activations (a), in AI Hub's terms; `mixed` differs from layer to layer."""

    FLOAT = "float"
    FLOAT16 = "float16"
    W8A8 = "w8a8"
    W8A16 = "w8a16"
    W4A8 = "w4a8"
    W4A16 = "w4a16"
    MIXED = "mixed"

    @property
    def quantized(self) -> bool:
        """Whether there is an AIMET simulation of it."""
        return self not in (Precision.FLOAT, Precision.FLOAT16)

    @property
    def bits(self) -> tuple[int, int] | None:
        """Bits of the integers of weights and of activations; `None` where they are not the same everywhere."""
        weights, _, activations = self.value.removeprefix("w").partition("a")
        return (int(weights), int(activations)) if weights.isdigit() else None


class RuntimeName(StrEnum):
    """The engines that run an artifact, in AI Hub's terms."""

    ONNX = "onnx"
    TFLITE = "tflite"
    QNN_CONTEXT_BINARY = "qnn_context_binary"
    PRECOMPILED_QNN_ONNX = "precompiled_qnn_onnx"

    @property
    def npu(self) -> bool:
        """Whether it is compiled for the NPU of one chip."""
        return self in (RuntimeName.QNN_CONTEXT_BINARY, RuntimeName.PRECOMPILED_QNN_ONNX)


@dataclass(frozen=True)
class Target:
    """Device x runtime x precision for one model."""

    model: str
    device: str
    runtime: RuntimeName
    precision: Precision

    @property
    def name(self) -> str:
        """The name shown to users and used for MLflow runs: `digits@host/onnx/w8a8`."""
        return f"{self.model}@{self.device}/{self.runtime}/{self.precision}"

    @property
    def slug(self) -> str:
        """The name used for files and Kedro datasets, which may hold neither `@` nor `/`."""
        return f"{self.device}-{self.runtime}-{self.precision}"


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and element type of one input or output of a network."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Artifact:
    """File(s) plus what a reader must know of them: parents, tool versions, tensors.

    `kind` is `weights`, `simulation`, `exported`, `compiled` or `predictions`. Files are held in memory, already
    verified against the manifest's hashes, so nothing can change between the check and the use.
    """

    kind: str
    files: Mapping[str, bytes]
    parents: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """SHA-256 over the manifest, which holds the hash of every file."""
        return sha256(json_bytes(self.manifest()))

    @property
    def lineage(self) -> dict[str, str]:
        """Hashes of everything this artifact was made from, and its own, by kind."""
        return {**self.parents, self.kind: self.hash}

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(len(data) for data in self.files.values())

    def manifest(self) -> dict[str, Any]:
        """What is written to `manifest.json` beside the files."""
        tensors = {
            side: [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype} for t in specs]
            for side, specs in (("inputs", self.inputs), ("outputs", self.outputs))
        }
        return {
            "kind": self.kind,
            "files": {n: {"sha256": sha256(d), "bytes": len(d)} for n, d in sorted(self.files.items())},
            "parents": dict(self.parents),
            "tools": dict(self.tools),
            "details": dict(self.details),
            **tensors,
        }

    def unpack(self, folder: Path) -> list[Path]:
        """Write the files into `folder` and return their paths, in the order of `files`."""
        paths = []
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
            paths.append(folder / name)
        return paths


@dataclass(frozen=True)
class Failure:
    """Why a stage of a target gave no result. Stages after it pass it on."""

    stage: str
    subject: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Split:
    """Which sample belongs to which part, by index into the dataset. The parts are disjoint."""

    dataset_hash: str
    seed: int
    classes: tuple[str, ...]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One operator of a compiled model, as the runtime reports it.

    `time_ms` is the mean of one inference; `fused` means that another operator does its work; `cycles` are those of the
    NPU for one inference, where the device counts them.
    """

    name: str
    type: str
    compute_unit: str
    time_ms: float | None = None
    fused: bool = False
    cycles: int | None = None


@dataclass(frozen=True)
class Repeat:
    """One independent measurement in its own process. Times in milliseconds, memory in MB (10^6 bytes).

    `None` for the first inference, and 0 for memory, where the device does not tell.

    `readings` is what the device's sensors said meanwhile, as the agent's `Sampler.readings` and `sustain` return it;
    empty where there are none.
    """

    load_ms: float
    first_inference_ms: float | None
    samples_ms: tuple[float, ...]
    peak_memory_mb: float
    baseline_memory_mb: float
    other_cpu_pct: float | None
    readings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """What was measured on a device. `None` means not measurable there; nothing is ever estimated."""

    target: str
    artifact: str
    lineage: Mapping[str, str]
    metrics: Mapping[str, float]
    repeats: tuple[Repeat, ...]
    layers: tuple[Layer, ...]
    threads: int
    device: Mapping[str, str]
    runtime_version: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Validation:
    """The metrics of one artifact on the whole test set, and its agreement with its parents.

    `details` are the task's counts per class, such as a confusion matrix.
    """

    target: str
    artifact: str
    lineage: Mapping[str, str]
    metrics: Mapping[str, float]
    samples: int
    task: str
    classes: tuple[str, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
