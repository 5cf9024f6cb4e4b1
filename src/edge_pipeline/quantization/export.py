"""Write a network or an AIMET simulation as ONNX and as a PyTorch exported program."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.quantization.onnx_idle import drop_idle_activations

FLOAT16_MAX = 65504.0


def to_onnx(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    opset: int,
    quantized: bool,
) -> bytes:
    """Return a checked, shape-inferred ONNX file; QDQ with quantized constants if `quantized`.

    Raises:
        ExportError: an operator has no ONNX form, or the checker refuses the file.
    """
    import onnx

    options: dict[str, Any] = {
        "input_names": list(input_names),
        "output_names": list(output_names),
        "opset_version": opset,
        "dynamo": False,
    }
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        try:
            if quantized:
                import aimet_torch.onnx as aimet_onnx

                aimet_onnx.export(module, inputs, str(path), prequantize_constants=True, **options)
            else:
                torch.onnx.export(module, inputs, str(path), **options)
            model = onnx.load(str(path))
            if quantized:
                drop_idle_activations(model)
            model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:
            raise ExportError(f"ONNX export failed: {str(error)[:400]}") from error
    return bytes(model.SerializeToString())


def to_float16(model_bytes: bytes) -> bytes:
    """Return an ONNX model that computes in float16; its inputs and outputs stay float32.

    Raises:
        ExportError: a number of the model is too large for float16, or an operator has no such form.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load_from_string(model_bytes)
    large = [t.name for t in model.graph.initializer if _largest(t) > FLOAT16_MAX]
    if large:
        raise ExportError(f"'{large[0]}' holds numbers beyond {FLOAT16_MAX:.0f}, the largest of float16")
    try:
        with quiet():
            sorted_ = OnnxModel(convert_float_to_float16(model, keep_io_types=True))
            sorted_.topological_sort()
            converted = onnx.shape_inference.infer_shapes(sorted_.model, strict_mode=True)
            onnx.checker.check_model(converted, full_check=True)
    except Exception as error:
        raise ExportError(f"the conversion to float16 failed: {str(error)[:400]}") from error
    return bytes(converted.SerializeToString())


def to_encodings(
    sim: Any,
    inputs: tuple[torch.Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    *,
    opset: int,
    version: str,
) -> tuple[bytes, bytes]:
    """Return a float ONNX model and the `.encodings` file for it, as Qualcomm's QAIRT and AI Hub take them.

    Raises:
        ExportError: an operator has no ONNX form.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model.onnx"
        try:
            sim.onnx.export(
                inputs,
                str(path),
                encoding_version=version,
                export_int32_bias=True,
                input_names=list(input_names),
                output_names=list(output_names),
                opset_version=opset,
                dynamo=False,
            )
        except Exception as error:
            raise ExportError(f"writing the encodings failed: {str(error)[:400]}") from error
        return path.read_bytes(), path.with_suffix(".encodings").read_bytes()


def to_program(module: nn.Module, inputs: tuple[torch.Tensor, ...], *, quantized: bool) -> bytes:
    """Return a `.pt2` exported program; AIMET's encodings are in it as signed quantize operators.

    LiteRT takes signed activations only. The helper that shifts them is private to AIMET, which is pinned for it.

    Raises:
        ExportError: the network cannot be captured.
    """
    buffer = io.BytesIO()
    try:
        with quiet():
            if quantized:
                import aimet_torch.onnx as aimet_onnx
                from aimet_torch.experimental.export import export

                with aimet_onnx._temporarily_convert_activation_to(module, signed=True):
                    program = export(module, inputs)
                _make_biases_uneven(program)
            else:
                program = torch.export.export(module, inputs)
            torch.export.save(program, buffer)
    except Exception as error:
        raise ExportError(f"capturing the network for LiteRT failed: {str(error)[:400]}") from error
    return buffer.getvalue()


def _make_biases_uneven(program: torch.export.ExportedProgram) -> None:
    """Move one number of each bias of equal numbers to the next float.

    LiteRT's converter gives such a bias the scale of the first channel in all channels.
    """
    for name, values in program.state_dict.items():
        if name.endswith("bias") and values.numel() > 1 and bool((values == values[0]).all()):
            uneven = values.detach().clone()
            uneven[0] = torch.nextafter(uneven[0], torch.full_like(uneven[0], torch.inf))
            program.state_dict[name] = nn.Parameter(uneven, requires_grad=False)


def _largest(tensor: Any) -> float:
    from onnx.numpy_helper import to_array

    values = to_array(tensor)
    return float(abs(values).max()) if values.dtype.kind == "f" and values.size else 0.0
