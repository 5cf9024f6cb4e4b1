"""LiteRT (TFLite) on the CPU, with its XNNPACK delegate, without, or with a delegate from a library."""

import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge_pipeline.runtimes import providers
from edge_pipeline.runtimes.session import Tensor, dequantize, quantize


class LiteRTSession:
    """A model loaded by the LiteRT interpreter. int8 inputs and outputs are converted from and to float.

    Inputs and outputs are in the order of the network's, which the names in the model's signature tell; the
    interpreter's own order is another.

    Args:
        model: the file, or its content.
        threads: of the CPU.
        engine: the delegate: `xnnpack`, `none`, or the path of a library; see providers.py.

    Raises:
        EngineError: the delegate cannot be loaded, or takes nothing of the model.
    """

    def __init__(self, model: Path | bytes, *, threads: int, engine: Mapping[str, Any] | None = None) -> None:
        self._model, self._threads, self._engine = model, threads, engine or {}
        self._delegate = str(self._engine.get("delegate", providers.XNNPACK))
        self.version = f"ai-edge-litert {version('ai-edge-litert')}"
        self._taken: list[bool] | None = None
        source: dict[str, Any] = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
        if self._delegate == providers.NO_DELEGATE:
            self.version += ", no delegate"
            source["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        elif self._delegate != providers.XNNPACK:
            self.version += f", {Path(self._delegate).name} on {self._engine['compute_unit']}"
            source["experimental_delegates"] = [providers.load_delegate(self._engine)]
        self._interpreter = self._open(source)
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
        """Per-operator times of LiteRT's profiler, in the order the operators run.

        With a delegate from a library the operators are the model's, and only where they run is known.
        """
        if self._taken is not None:
            return self._placed(self._taken)
        from edge_pipeline.runtimes.litert_profiler import operator_times

        native = {detail["index"]: value for detail, value in zip(self._inputs, self.encode(inputs), strict=True)}
        graph_order = [native[detail["index"]] for detail in self._interpreter.get_input_details()]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(self._model.read_bytes() if isinstance(self._model, Path) else self._model)
            xnnpack = self._delegate == providers.XNNPACK
            return operator_times(path, graph_order, threads=self._threads, runs=runs, xnnpack=xnnpack)

    def _open(self, source: Mapping[str, Any]) -> Any:
        """Return the interpreter, of which a delegate from a library has its part, and XNNPACK not yet the rest."""
        try:
            interpreter = Interpreter(**source, num_threads=self._threads)
        except (RuntimeError, ValueError) as error:
            if "experimental_delegates" not in source:
                raise
            raise providers.EngineError(f"the delegate {self._delegate} refuses the model: {error}") from error
        if "experimental_delegates" in source:
            operators = interpreter._get_ops_details()
            self._taken = providers.replaced(operators)
            if not any(self._taken):
                raise providers.EngineError(
                    f"the delegate {self._delegate} takes none of the {len(self._taken)} operators of the model: its "
                    "driver or device is not there, or it has none of them in this number format. All would run on "
                    "the CPU; choose `delegate: xnnpack` in `execution` if that is wanted"
                )
        return interpreter

    def _placed(self, taken: Sequence[bool]) -> list[dict[str, Any]]:
        operators = [one for one in self._interpreter._get_ops_details() if one["op_name"] != "DELEGATE"]
        return [
            {
                "name": f"{one['op_name']}:{one['index']}",
                "type": one["op_name"],
                "compute_unit": self._engine["compute_unit"] if there else "cpu",
                "time_ms": None,
            }
            for one, there in zip(operators, taken, strict=True)
        ]


def ordered(interpreter: Any) -> tuple[list[Any], list[Any]]:
    """Return what the interpreter tells of inputs and outputs, by the numbers in the names of the only signature."""
    runner = interpreter.get_signature_runner()
    inputs, outputs = (
        [details[name] for name in sorted(details, key=lambda name: int(name.rpartition("_")[2]))]
        for details in (runner.get_input_details(), runner.get_output_details())
    )
    return inputs, outputs
