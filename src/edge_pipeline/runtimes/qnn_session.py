"""Run what the NPU compiler made, on an NPU or its emulator."""

import csv
import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_pipeline.runtimes import providers, qnn_engine
from edge_pipeline.runtimes.session import Tensor, dequantize, quantize

_OPERATOR = re.compile(r"(?P<name>.*?)(_token_\d+)?:OpId_\d+ \(cycles\)$")
"""An operator in a profile: its name, what ONNX Runtime added to it, and its number."""

_WRAPPER = "wrapper.onnx"
"""The ONNX file beside a binary, where that came with it; see qnn_wrapper.py."""


class QnnSession:
    """A compiled context, or an ONNX file with such, on the QNN HTP backend.

    On a machine without an NPU this is Qualcomm's emulator: its numbers are those of the chip, its times are nothing.

    Args:
        model: `model.onnx` with its binaries beside it, or a binary with its `tensors.json`.
        soc_model: number of the chip that is emulated; `None` on the chip itself.
        engine: `options` of QNN's provider; see providers.py.
    """

    def __init__(self, model: Path, *, soc_model: int | None, engine: Mapping[str, Any] | None = None) -> None:
        self.version = qnn_engine.version()
        self._model = model
        emulated = {} if soc_model is None else {"soc_model": str(soc_model)}
        self._provider = {**(engine or {}).get("options", {}), **emulated}
        self._context: Mapping[str, Any] | None = None
        if model.suffix != ".onnx":
            self._context = json.loads((model.parent / "tensors.json").read_text())
        self._session = self._open({})
        self._inputs = [one.name for one in self._session.get_inputs()]

    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Quantize float inputs where the compiled graph takes integers."""
        if self._context is None:
            return list(inputs)
        return [
            quantize(value, one["scale"], one["zero_point"], one["dtype"]) if "scale" in one else value
            for value, one in zip(inputs, self._context["inputs"], strict=True)
        ]

    def invoke(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Run the graph once."""
        outputs: list[Tensor] = self._session.run(None, dict(zip(self._inputs, native, strict=True)))
        return outputs

    def decode(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Return float outputs."""
        if self._context is None:
            return list(native)
        return [
            dequantize(value, one["scale"], one["zero_point"]) if "scale" in one else value
            for value, one in zip(native, self._context["outputs"], strict=True)
        ]

    def layers(self, inputs: Sequence[Tensor], runs: int) -> list[dict[str, Any]]:
        """Return the operators on the NPU, and which of them another one does: those take no cycle of their own.

        Those that the compiler left to the CPU come last. Cycles differ from run to run on the emulator and are not
        returned.
        """
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "profile.csv"
            session = self._open({"profiling_level": "detailed", "profiling_file_path": str(report)})
            session.run(None, dict(zip(self._inputs, self.encode(inputs), strict=True)))
            left = (providers.assigned(session) or {}).get(providers.CPU, [])
            del session
            return [
                *_operators(report.read_text()),
                *(_on_cpu(*one) for one in left if one[1] not in providers.BOUNDARY),
            ]

    def _open(self, more: Mapping[str, str]) -> Any:
        provider, entries = {**self._provider, **more}, dict([providers.RECORD])
        if self._context is None:
            return qnn_engine.open_qnn(self._model, provider, entries, fallback=True)
        beside = self._model.with_name(_WRAPPER)
        if beside.is_file():
            return qnn_engine.open_qnn(beside, provider, entries, fallback=False)
        from edge_pipeline.runtimes.qnn_wrapper import wrapper

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / _WRAPPER
            shutil.copy(self._model, folder)
            path.write_bytes(wrapper(self._model.name, self._context))
            return qnn_engine.open_qnn(path, provider, entries, fallback=False)


def _operators(report: str) -> list[dict[str, Any]]:
    """Return the operators of a detailed profile, a CSV file of QNN's execution provider."""
    cycles: dict[str, int] = {}
    for row in csv.DictReader(report.splitlines()):
        found = _OPERATOR.match(row["Event Identifier"]) if row["Message"] == "NODE" else None
        if found:
            cycles[found["name"]] = cycles.get(found["name"], 0) + int(row["Time"])
    return [
        {"name": name, "type": "", "compute_unit": "npu", "time_ms": None, "fused": count == 0}
        for name, count in cycles.items()
    ]


def _on_cpu(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "compute_unit": "cpu", "time_ms": None, "fused": False}
