"""Where an engine leaves the simulation: every quantized tensor of a model, compared layer by layer."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.child import run_child
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import RuntimeName

ROUNDING_STEPS, ROUNDING_DB = 1.0, 20.0
"""Engines round every layer a little differently, which adds up. It stays within a step of the tensor's scale or, where
a coarse scale is followed by a fine one as at a sigmoid, at least within 20 dB."""

PROBE_S = 600.0
"""Seconds that the emulator may take to run a model with all its tensors as outputs."""


@dataclass(frozen=True)
class Agreement:
    """How well an engine agrees with the simulation at one quantized tensor.

    Attributes:
        layer: that makes the tensor.
        tensor: its name in the ONNX model.
        sqnr_db: of the engine's values, in dB.
        steps: root mean square of the differences, in steps of the tensor's scale.
    """

    layer: str
    tensor: str
    sqnr_db: float
    steps: float


def agreements(
    qdq: bytes,
    runtime: RuntimeName,
    compiled: bytes,
    inputs: Sequence[NDArray[Any]],
    soc_model: int | None = None,
) -> list[Agreement]:
    """Return the agreement at every tensor that engine and simulation share, in the order of the model.

    The simulation is the QDQ model with every operator computed in float. ONNX Runtime is asked for its integers by the
    tensor's name; LiteRT's tensor is the one of equal scale and size that agrees best. LiteRT runs with its built-in
    kernels here: its XNNPACK delegate does not tell what it computes inside.

    Raises:
        ChildError: the emulator crashed or took too long.

    Args:
        qdq: the exported QDQ model.
        runtime: which engine.
        compiled: what it runs.
        inputs: one sample, each (1, ...).
        soc_model: the chip that the QNN emulator stands in for; it compiles the QDQ model with all tensors as outputs.
    """
    simulated = _onnx_integers(qdq, inputs, _on_cpu(optimized=False))
    if runtime is not RuntimeName.TFLITE:
        engine = _on_cpu(optimized=True) if soc_model is None else _on_emulator(soc_model)
        found = _onnx_integers(qdq if runtime.npu else compiled, inputs, engine)
        pairs = [(name, one, found[name].values) for name, one in simulated.items() if name in found]
    else:
        candidates = _litert_integers(compiled, inputs)
        pairs = [(name, one, best) for name, one in simulated.items() if (best := _match(one, candidates)) is not None]
    return [Agreement(one.layer, name, sqnr_db(one.values, values), _steps(one, values)) for name, one, values in pairs]


def first_divergence(found: Sequence[Agreement]) -> Agreement | None:
    """Return the first tensor whose differences are more than rounding, or `None`."""
    return next((one for one in found if one.steps > ROUNDING_STEPS and one.sqnr_db < ROUNDING_DB), None)


def _steps(wanted: "_Tensor", values: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(wanted.values.astype(np.float64) - values).mean()) / wanted.scale)


@dataclass(frozen=True)
class _Tensor:
    layer: str
    values: NDArray[Any]
    scale: float


Engine = Callable[[bytes, Sequence[NDArray[Any]], list[str]], Sequence[NDArray[Any]]]
"""(ONNX model, inputs, names of outputs) -> outputs."""


def _onnx_integers(qdq: bytes, inputs: Sequence[NDArray[Any]], engine: Engine) -> dict[str, _Tensor]:
    """Return what every QuantizeLinear of a model gives, dequantized, by the name of the tensor that it quantizes."""
    import onnx
    from onnx.numpy_helper import to_array

    model = onnx.load_from_string(qdq)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    asked = [
        node
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants and len(node.input) == 3
    ]
    known = {output.name for output in model.graph.output}
    for node in asked:
        if node.output[0] not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    integers = engine(model.SerializeToString(), inputs, [node.output[0] for node in asked])
    found = {}
    for node, values in zip(asked, integers, strict=True):
        scale, zero = (np.asarray(to_array(_constant(name, constants, makers))) for name in node.input[1:3])
        layer = makers[node.input[0]].name if node.input[0] in makers else node.input[0]
        real = (values.astype(np.float32) - zero.astype(np.float32)) * scale
        found[node.input[0]] = _Tensor(layer, real, float(scale))
    return found


def _on_cpu(*, optimized: bool) -> Engine:
    def run(model: bytes, inputs: Sequence[NDArray[Any]], names: list[str]) -> Sequence[NDArray[Any]]:
        import onnxruntime as ort

        from edge_pipeline.runtimes.onnx_session import int8_options

        options = ort.SessionOptions()
        options.log_severity_level = 3
        int8_options(options)
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)}
        outputs: Sequence[NDArray[Any]] = session.run(names, feeds)
        return outputs

    return run


def _on_emulator(soc_model: int) -> Engine:
    def run(model: bytes, inputs: Sequence[NDArray[Any]], names: list[str]) -> Sequence[NDArray[Any]]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "model.onnx").write_bytes(model)
            np.savez(folder / "inputs.npz", *inputs)
            (folder / "request.json").write_text(json.dumps({"folder": name, "soc_model": soc_model, "outputs": names}))
            run_child("edge_pipeline.runtimes.qnn_probe", [str(folder / "request.json")], time_limit_s=PROBE_S)
            with np.load(folder / "outputs.npz") as found:
                return [found[f"arr_{index}"] for index in range(len(names))]

    return run


def _constant(name: str, constants: Mapping[str, Any], makers: Mapping[str, Any]) -> Any:
    if name in constants:
        return constants[name]
    return makers[name].attribute[0].t


def _litert_integers(compiled: bytes, inputs: Sequence[NDArray[Any]]) -> list[_Tensor]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edge_pipeline.runtimes.litert_session import ordered
    from edge_pipeline.runtimes.session import quantize

    interpreter = Interpreter(
        model_content=compiled,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    for value, detail in zip(inputs, ordered(interpreter)[0], strict=True):
        scale, zero = detail["quantization"]
        native = quantize(value, scale, zero, detail["dtype"]) if scale else value
        interpreter.set_tensor(detail["index"], native)
    interpreter.invoke()
    found = []
    for detail in interpreter.get_tensor_details():
        scale, zero = detail["quantization"]
        if detail["dtype"] is np.int8 and scale and len(detail["quantization_parameters"]["scales"]) == 1:
            try:
                values = interpreter.get_tensor(detail["index"])
            except ValueError:
                continue  # a tensor that no operator of the graph fills
            found.append(_Tensor(detail["name"], (values.astype(np.float32) - zero) * np.float32(scale), scale))
    return found


def _match(wanted: _Tensor, candidates: Sequence[_Tensor]) -> NDArray[Any] | None:
    """Return the values of the candidate that is `wanted`, channels moved to the second axis, or `None`."""
    best: tuple[float, NDArray[Any]] | None = None
    for one in candidates:
        if one.values.size != wanted.values.size or abs(one.scale - wanted.scale) > 1e-5 * wanted.scale:
            continue
        for values in _arrangements(one.values, wanted.values.shape):
            agreement = sqnr_db(wanted.values, values)
            if best is None or agreement > best[0]:
                best = agreement, values
    return best[1] if best else None


def _arrangements(values: NDArray[Any], shape: tuple[int, ...]) -> list[NDArray[Any]]:
    found = [values] if values.shape == shape else []
    if values.ndim >= 3:
        moved = np.moveaxis(values, -1, 1)
        found += [moved] if moved.shape == shape else []
    return found or [values.reshape(shape)]
