"""ONNX Runtime on the CPU, or with another of its execution providers."""

import functools
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edge_pipeline.runtimes import providers
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
    """A model loaded by ONNX Runtime's CPU execution provider with all graph optimisations, or by another provider.

    See `int8_options` for what is special about integers. For QNN's provider nothing is optimised before, since that
    moves operators out of the reach of their quantizers.

    Args:
        model: the file, or its content.
        threads: of the CPU.
        soc_model: number of the chip that QNN's emulator stands in for.
        engine: the provider; see providers.py.

    Raises:
        EngineError: this machine lacks the provider, or that takes nothing of the model.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        threads: int,
        soc_model: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        self._model, self._threads, self._engine = model, threads, engine or {}
        self._provider = providers.choice_of_provider(self._engine)
        emulated = soc_model is not None and self._provider == providers.QNN
        self._more = {"soc_model": str(soc_model)} if emulated else {}
        self.version = f"onnxruntime {ort.__version__}"
        if self._provider != providers.CPU:
            self.version += f", {self._provider} on {self._engine['compute_unit']}"
        self._session = self._open(self._options())
        providers.check_taken(self._provider, self._assigned(self._session), self._engine)
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
        """Per-operator times of ONNX Runtime's profiler, after fusion, the first run left out.

        What a provider compiled into one is listed by its operators, whose times nobody knows.
        """
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
        compiled = self._compiled(session, {providers.plain_name(name) for name in seen})
        whole = {one["provider"] for one in compiled}
        timed = [
            {
                "name": name,
                "type": types[name][0],
                "compute_unit": self._unit(types[name][1]),
                "time_ms": sum(times[1:]) / max(len(times) - 1, 1),
            }
            for name, times in seen.items()
            if not (types[name][1] in whole and types[name][0].startswith(types[name][1]))
        ]
        return [{key: value for key, value in one.items() if key != "provider"} for one in compiled] + timed

    def _compiled(self, session: Any, timed: set[str]) -> list[dict[str, Any]]:
        """Return the nodes that a provider other than the CPU's took and the profiler does not list."""
        return [
            {"name": name, "type": kind, "compute_unit": self._unit(provider), "time_ms": None, "provider": provider}
            for provider, nodes in (self._assigned(session) or {}).items()
            if provider != providers.CPU
            for name, kind in nodes
            if name not in timed and kind not in providers.BOUNDARY
        ]

    def _assigned(self, session: Any) -> dict[str, list[tuple[str, str]]] | None:
        return None if self._provider == providers.CPU else providers.assigned(session)

    def _unit(self, provider: str) -> str:
        if provider == self._provider:
            return str(self._engine.get("compute_unit", "cpu"))
        return "cpu" if provider == providers.CPU else provider

    def _options(self) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        int8_options(options)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self._provider == providers.QNN:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if self._provider != providers.CPU:
            options.add_session_config_entry(*providers.RECORD)
        return options

    def _open(self, options: Any) -> Any:
        model = str(self._model) if isinstance(self._model, Path) else self._model
        if self._provider == providers.CPU:
            return ort.InferenceSession(model, options, providers=[providers.CPU])
        listed = providers.add_provider(options, self._engine, self._more)
        session = ort.InferenceSession(model, options, **({"providers": [*listed, providers.CPU]} if listed else {}))
        session.disable_fallback()
        return session
