"""Write a network or an AIMET simulation as ONNX and as a PyTorch exported program."""

import io
import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_pipeline.core.errors import ExportError


def to_onnx(module: nn.Module, dummy: torch.Tensor, *, opset: int, quantized: bool) -> bytes:
    """Return a checked, shape-inferred ONNX file; QDQ with quantized constants if `quantized`.

    Raises:
        ExportError: an operator has no ONNX form, or the checker refuses the file.
    """
    import onnx

    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"], "opset_version": opset}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        try:
            if quantized:
                import aimet_torch.onnx as aimet_onnx

                aimet_onnx.export(module, (dummy,), str(path), dynamo=False, prequantize_constants=True, **names)
            else:
                torch.onnx.export(module, (dummy,), str(path), dynamo=False, **names)
            model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:
            raise ExportError(f"ONNX export failed: {str(error)[:400]}") from error
    return bytes(model.SerializeToString())


def to_program(module: nn.Module, dummy: torch.Tensor, *, quantized: bool) -> bytes:
    """Return a `.pt2` exported program; AIMET's encodings are in it as signed quantize operators.

    LiteRT takes signed activations only. The helper that shifts them is private to AIMET, which is pinned for it.

    Raises:
        ExportError: the network cannot be captured.
    """
    buffer = io.BytesIO()
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if quantized:
                import aimet_torch.onnx as aimet_onnx
                from aimet_torch.experimental.export import export

                with aimet_onnx._temporarily_convert_activation_to(module, signed=True):
                    program = export(module, (dummy,))
            else:
                program = torch.export.export(module, (dummy,))
            torch.export.save(program, buffer)
    except Exception as error:
        raise ExportError(f"capturing the network for LiteRT failed: {str(error)[:400]}") from error
    finally:
        logging.disable(previous)
    return buffer.getvalue()
