"""Load a compiled model and run it. Imports NumPy and one engine only: this is what a device process loads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[Any]


class Session(Protocol):
    """A loaded model. `run` takes and returns float tensors; the three steps of it can be timed apart."""

    version: str

    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Convert float inputs to the model's own element types."""

    def invoke(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Run the model once; tensors are copied in and out, as an application would."""

    def decode(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Convert outputs of the model's own element types to float."""

    def layers(self, inputs: Sequence[Tensor], runs: int) -> list[dict[str, Any]]:
        """Return name, type, compute unit and mean time (ms, `None` if the engine cannot tell) of every operator."""


def run(session: Session, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Run `session` on float tensors and return float tensors."""
    return session.decode(session.invoke(session.encode(inputs)))


def open_session(
    runtime: str,
    model: Path | bytes,
    *,
    threads: int,
    soc_model: int | None = None,
    engine: Mapping[str, Any] | None = None,
) -> Session:
    """Load `model` with the engine of `runtime`.

    Args:
        runtime: `onnx`, `tflite`, `qnn_context_binary` or `precompiled_qnn_onnx`.
        model: the file, or for `onnx` and `tflite` also its content.
        threads: number of CPU threads.
        soc_model: number of the chip that the QNN emulator stands in for; `None` on a machine with an NPU.
        engine: what computes; see providers.py. Without it that is the CPU, or the NPU of a model made for one.

    Raises:
        EngineError: this machine lacks the engine, or that takes nothing of the model.
    """
    if runtime == "onnx":
        from edge_pipeline.runtimes.onnx_session import OnnxSession

        return OnnxSession(model, threads=threads, soc_model=soc_model, engine=engine)
    if runtime == "tflite":
        from edge_pipeline.runtimes.litert_session import LiteRTSession

        return LiteRTSession(model, threads=threads, engine=engine)
    if runtime in ("qnn_context_binary", "precompiled_qnn_onnx") and isinstance(model, Path):
        from edge_pipeline.runtimes.qnn_session import QnnSession

        return QnnSession(model, soc_model=soc_model, engine=engine)
    raise ValueError(f"no session for the runtime '{runtime}'")


def quantize(values: Tensor, scale: float, zero_point: int, dtype: Any) -> Tensor:
    """Round float `values` to integers of `dtype`: q = clip(round(x / scale) + zero_point)."""
    info = np.iinfo(dtype)
    integers: Tensor = np.clip(np.rint(values / scale) + zero_point, info.min, info.max).astype(dtype)
    return integers


def dequantize(values: Tensor, scale: float, zero_point: int) -> Tensor:
    """Return (q - zero_point) * scale as float32."""
    return ((values.astype(np.float32) - zero_point) * np.float32(scale)).astype(np.float32)
