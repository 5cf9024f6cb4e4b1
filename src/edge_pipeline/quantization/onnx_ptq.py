"""AIMET post-training quantization of an ONNX model, without its PyTorch code."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.quiet import quiet

Sample = Mapping[str, NDArray[Any]]
"""The inputs of one inference, batch 1, by name."""

ENCODINGS_VERSIONS = ("1.0.0", "2.0.0")

MINIMUM_OPSET = 13
"""The first opset whose quantization operators take a scale for each channel."""


@dataclass(frozen=True)
class QuantizedOnnx:
    """A calibrated simulation and what was exported from it.

    Attributes:
        model: ONNX with quantize and dequantize operators, weights and biases stored as integers.
        encodings: scale, offset and bit width of every quantizer by its tensor's name.
        simulate: runs AIMET's simulation on one sample and returns the outputs in the model's order.
    """

    model: bytes
    encodings: dict[str, dict[str, Any]]
    simulate: Callable[[Sample], list[NDArray[Any]]]


def quantize_onnx(
    model_bytes: bytes,
    samples: Iterable[Sample],
    *,
    scheme: str,
    config: str,
    equalize: bool = False,
    bits: tuple[int, int] = (8, 8),
) -> QuantizedOnnx:
    """Fold batch norms, equalize if asked, calibrate weights and activations, and export.

    Equalization (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019) works
    through ReLU only; layers around ReLU6 stay as they are.

    Args:
        model_bytes: a self-contained float model with batch 1 and static shapes.
        samples: what to calibrate on.
        scheme: `min_max` or `tf_enhanced`.
        config: AIMET's name of the hardware's rules, `htp_v73`.
        equalize: whether to equalize the ranges of channels across layers.
        bits: of weights and of activations.

    Raises:
        QuantizationError: the model cannot be simulated or exported, a sample or an output is NaN or infinite, or there
            is no sample.
    """
    with quiet():
        model = _prepared(model_bytes, equalize)
        limits = _limits(model)
        sim = _simulation(model, scheme, config, bits)
        _calibrate(sim, samples)
        exported = _export(sim, limits)

    def simulate(sample: Sample) -> list[NDArray[Any]]:
        outputs: list[NDArray[Any]] = sim.session.run(None, dict(sample))
        return outputs

    return QuantizedOnnx(exported, _encodings(sim), simulate)


def quantize_with(model_bytes: bytes, encodings: Mapping[str, Any]) -> bytes:
    """Return a float model as QDQ, with the scales of an `.encodings` file of AIMET; tensors without any stay float.

    Args:
        model_bytes: the self-contained model that the file belongs to: the names of its tensors are in it.
        encodings: content of the file, of version 1.0.0 or 2.0.0.

    Raises:
        QuantizationError: the file has no encodings of this model, is of another version or damaged, or the model
            cannot be simulated or exported.
    """
    version = encodings.get("version")
    if version not in ENCODINGS_VERSIONS:
        raise QuantizationError(
            f"encodings of version {str(version)[:40]!r} are not known; export them as "
            f"{' or '.join(ENCODINGS_VERSIONS)}"
        )
    import onnx
    from aimet_onnx.quantsim import load_encodings_to_sim

    with quiet():
        model = onnx.load_from_string(model_bytes)
        known = {name for node in model.graph.node for name in (*node.input, *node.output)}
        limits = _limits(model)
        sim = _simulation(model, "min_max", "htp_v73", (8, 8))
        try:
            load_encodings_to_sim(sim, dict(encodings), strict=False)
        except Exception as error:
            raise QuantizationError(f"the encodings are damaged or another model's: {_said(error)}") from error
        if not any(one.enabled for name, one in sim.qc_quantize_op_dict.items() if name in known):
            raise QuantizationError("none of the encodings is that of a tensor of the model: they are another model's")
        return _export(sim, limits)


def _prepared(model_bytes: bytes, equalize: bool) -> Any:
    import onnx
    import onnx.version_converter
    from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
    from aimet_onnx.utils import duplicate_shared_initializers

    model = onnx.load_from_string(model_bytes)
    quantized = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if quantized:
        raise QuantizationError(
            f"the ONNX model is quantized already ({quantized[0].op_type} '{quantized[0].name}'); it is used as it is"
        )
    try:
        if any(entry.version < MINIMUM_OPSET for entry in model.opset_import if not entry.domain):
            model = onnx.version_converter.convert_version(model, MINIMUM_OPSET)
        _name_nodes(model)
        duplicate_shared_initializers(model.graph)
        if equalize:
            _equalize(model)
        else:
            fold_all_batch_norms_to_weight(model)
    except Exception as error:
        raise QuantizationError(_about(model, f"cannot be prepared for quantization: {_said(error)}")) from error
    return model


def _name_nodes(model: Any) -> None:
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{index}"
        seen.add(node.name)


def _equalize(model: Any) -> None:
    """Do AIMET's equalization but for its replacement of ReLU6 by ReLU, which changes what the network computes."""
    from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
    from aimet_onnx.cross_layer_equalization import CrossLayerScaling, HighBiasFold

    after, before = fold_all_batch_norms_to_weight(model)
    scaled = CrossLayerScaling(model).scale_model()
    HighBiasFold(model).bias_fold(scaled, {layer.name: norm for layer, norm in after + before})


def _simulation(model: Any, scheme: str, config: str, bits: tuple[int, int]) -> Any:
    from aimet_onnx import QuantizationSimModel

    try:
        sim = QuantizationSimModel(
            model,
            param_type=f"int{bits[0]}",
            activation_type=f"int{bits[1]}",
            quant_scheme=scheme,
            config_file=config,
            session_options_kwargs={"intra_op_num_threads": 1},
        )
        _fuse_activations(sim)
    except Exception as error:
        raise QuantizationError(_about(model, f"cannot be simulated by AIMET: {_said(error)}")) from error
    return sim


def _fuse_activations(sim: Any) -> None:
    """Place quantizers as runtimes compute: a layer and its ReLU or clamp are one operator, its limits are constants.

    AIMET's rules say so for most layers, but not for depthwise convolutions.
    """
    nodes = [node for node in sim.model.nodes() if node.op_type != "QcQuantizeOp"]
    original = {node.output[0]: node.input[0] for node in sim.model.nodes() if node.op_type == "QcQuantizeOp"}
    layers = {node.output[0] for node in nodes if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")}
    read = [original.get(name, name) for node in nodes for name in node.input]
    quantizers = sim.qc_quantize_op_dict
    for node in nodes:
        if node.op_type not in ("Relu", "Clip"):
            continue
        tensor, *limits = [original.get(name, name) for name in node.input]
        if tensor in layers and read.count(tensor) == 1 and quantizers[tensor].enabled:
            quantizers[tensor].enabled = False
            quantizers[node.output[0]].enabled = True
        for name in limits:
            if name in quantizers:
                quantizers[name].enabled = False


def _calibrate(sim: Any, samples: Iterable[Sample]) -> None:
    def forward(session: Any) -> None:
        seen = 0
        for sample in samples:
            if not _finite(sample.values()):
                raise QuantizationError("a calibration sample holds NaN or infinite values")
            if not _finite(session.run(None, dict(sample))):
                raise QuantizationError("the network's output is NaN or infinite on a calibration sample")
            seen += 1
        if not seen:
            raise QuantizationError("the calibration set has no samples; raise `quantize.calibration_images`")

    try:
        sim.compute_encodings(forward)
    except QuantizationError:
        raise
    except Exception as error:
        raise QuantizationError(f"the simulation of the ONNX model cannot be calibrated: {_said(error)}") from error


def _limits(model: Any) -> dict[tuple[str, int], Any]:
    """Return the constant limits of clamps by the clamp's name and the position of the input."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    clamps = [node for node in model.graph.node if node.op_type == "Clip"]
    return {
        (node.name, index): constants[name]
        for node in clamps
        for index, name in enumerate(node.input)
        if index > 0 and name in constants
    }


def _restore_limits(exported: Any, limits: Mapping[tuple[str, int], Any]) -> None:
    """Give clamps their float limits back. AIMET's export quantizes them, and no runtime fuses such a clamp."""
    for node in exported.graph.node:
        for index in range(1, len(node.input)):
            limit = limits.get((node.name, index)) if node.op_type == "Clip" else None
            if limit is not None:
                kept = exported.graph.initializer.add()
                kept.CopyFrom(limit)
                kept.name = node.input[index] = f"{node.output[0]}_limit_{index}"
    read = {name for node in exported.graph.node for name in node.input} | {v.name for v in exported.graph.output}
    for node in [node for node in exported.graph.node if node.op_type == "DequantizeLinear"]:
        if node.output[0] not in read:
            exported.graph.node.remove(node)
    read = {name for node in exported.graph.node for name in node.input}
    for tensor in [tensor for tensor in exported.graph.initializer if tensor.name not in read]:
        exported.graph.initializer.remove(tensor)


def _export(sim: Any, limits: Mapping[tuple[str, int], Any]) -> bytes:
    """Return the QDQ model, loaded once by ONNX Runtime. Biases are int32, without which no layer runs on integers."""
    import onnx
    import onnxruntime as ort

    try:
        exported = sim.to_onnx_qdq(export_int32_bias=True, prequantize_constants=True)
        _restore_limits(exported, limits)
        exported = onnx.shape_inference.infer_shapes(exported, data_prop=True)
        onnx.checker.check_model(exported)
        data = bytes(exported.SerializeToString())
        options = ort.SessionOptions()
        options.log_severity_level = 4
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise QuantizationError(f"the quantized ONNX model cannot be exported: {_said(error)}") from error
    return data


def _encodings(sim: Any) -> dict[str, dict[str, Any]]:
    found = {}
    for name, quantizer in sim.qc_quantize_op_dict.items():
        encodings = quantizer.get_encodings() if quantizer.enabled else None
        if encodings:
            found[name] = {
                "scale": [float(one.delta) for one in encodings],
                "offset": [float(one.offset) for one in encodings],
                "bitwidth": int(quantizer.bitwidth),
            }
    return found


def _finite(tensors: Iterable[NDArray[Any]]) -> bool:
    return all(bool(np.isfinite(tensor).all()) for tensor in tensors)


def _about(model: Any, problem: str) -> str:
    """Name the nodes that are the most likely cause: those with branches or loops, those of no standard one."""
    unusual = [
        f"{node.op_type} '{node.name}'"
        for node in model.graph.node
        if node.domain not in ("", "ai.onnx") or any(attribute.HasField("g") for attribute in node.attribute)
    ]
    hint = f" Unusual operators in it: {', '.join(unusual[:5])}." if unusual else ""
    return f"the ONNX model {problem}.{hint}"


def _said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")[:300]
