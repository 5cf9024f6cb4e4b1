"""LiteRT (TFLite) on the CPU, with its XNNPACK delegate."""

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from edge_pipeline.runtimes.session import Tensor, dequantize, quantize


class LiteRTSession:
    """A model loaded by the LiteRT interpreter. int8 inputs and outputs are converted from and to float.

    Inputs and outputs are in the order of the network's, which the names in the model's signature tell; the
    interpreter's own order is another.
    """

    version = f"ai-edge-litert {version('ai-edge-litert')}"

    def __init__(self, model: Path | bytes, *, threads: int) -> None:
        self._model, self._threads = model, threads
        source: dict[str, Any] = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
        self._interpreter = Interpreter(**source, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs, self._outputs = ordered(self._interpreter)

    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Quantize inputs that the model takes as integers."""
        return [
            quantize(value, scale, zero_point, detail["dtype"]) if scale else value
            for value, detail in zip(inputs, self._inputs, strict=True)
            for scale, zero_point in [detail["quantization"]]
        ]

    def invoke(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Copy the tensors in, run the model once, copy the tensors out."""
        for value, detail in zip(native, self._inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self._outputs]

    def decode(self, native: Sequence[Tensor]) -> list[Tensor]:
        """Dequantize integer outputs."""
        return [
            dequantize(value, *detail["quantization"]) if detail["quantization"][0] else value
            for value, detail in zip(native, self._outputs, strict=True)
        ]

    def layers(self, inputs: Sequence[Tensor], runs: int) -> list[dict[str, Any]]:
        """Per-operator times of LiteRT's profiler, in the order the operators run."""
        from edge_pipeline.runtimes.litert_profiler import operator_times

        native = {detail["index"]: value for detail, value in zip(self._inputs, self.encode(inputs), strict=True)}
        graph_order = [native[detail["index"]] for detail in self._interpreter.get_input_details()]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(self._model.read_bytes() if isinstance(self._model, Path) else self._model)
            return operator_times(path, graph_order, threads=self._threads, runs=runs)


def ordered(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """Return what the interpreter tells of inputs and outputs, by the numbers in the names of the only signature."""
    runner = interpreter.get_signature_runner()
    inputs, outputs = (
        [details[name] for name in sorted(details, key=lambda name: int(name.rpartition("_")[2]))]
        for details in (runner.get_input_details(), runner.get_output_details())
    )
    return inputs, outputs
