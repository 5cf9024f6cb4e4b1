"""ONNX Runtime on the CPU."""

import functools
import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edge_pipeline.runtimes.session import Tensor

ort.set_default_logger_severity(3)


def int8_options(options: Any) -> None:
    """Let integer layers be computed exactly on this processor.

    On x86 processors without VNNI instructions the int8 kernels add pairs of products in 16 bits, which overflow; there
    the session is told to prefer kernels that do not. On one such processor this raised the agreement with AIMET's
    simulation from 17 to 47 dB. With VNNI the kernels are exact, and those others take twice as long.
    """
    if _overflows():
        options.add_session_config_entry("session.x64quantprecision", "1")


@functools.cache
def _overflows() -> bool:
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return True
    return "avx512_vnni" not in flags and "avx_vnni" not in flags


class OnnxSession:
    """A model loaded by ONNX Runtime's CPU execution provider with all graph optimisations.

    See `int8_options` for what is special about integers.
    """

    version = f"onnxruntime {ort.__version__}"

    def __init__(self, model: Path | bytes, *, threads: int) -> None:
        self._model, self._threads = model, threads
        self._session = self._open(self._options())
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]

    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Float in: quantization is part of the graph."""
        return list(inputs)

    def invoke(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Run the model once."""
        outputs: list[Tensor] = self._session.run(None, dict(zip(self._inputs, native, strict=True)))
        return outputs

    def decode(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Float out: dequantization is part of the graph."""
        return list(native)

    def layers(self, inputs: Sequence[Tensor], runs: int) -> list[dict[str, Any]]:
        """Per-operator times of ONNX Runtime's profiler, after fusion, the first run left out."""
        with tempfile.TemporaryDirectory() as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = f"{folder}/profile"
            session = self._open(options)
            feed = dict(zip(self._inputs, inputs, strict=True))
            for _ in range(runs + 1):
                session.run(None, feed)
            events = json.loads(Path(session.end_profiling()).read_text())
        seen: dict[str, list[float]] = {}
        types: dict[str, tuple[str, str]] = {}
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                name = event["name"].removesuffix("_kernel_time")
                seen.setdefault(name, []).append(event["dur"] / 1000)
                types[name] = (event["args"]["op_name"], event["args"]["provider"])
        return [
            {
                "name": name,
                "type": types[name][0],
                "compute_unit": "cpu" if types[name][1] == "CPUExecutionProvider" else types[name][1],
                "time_ms": sum(times[1:]) / max(len(times) - 1, 1),
            }
            for name, times in seen.items()
        ]

    def _options(self) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        int8_options(options)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        return options

    def _open(self, options: Any) -> Any:
        model = str(self._model) if isinstance(self._model, Path) else self._model
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
