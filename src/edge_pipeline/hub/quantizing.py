"""ONNX Runtime's static quantization, for scripts that let the hub quantize. AIMET's is that of the pipelines."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.types import Artifact
from edge_pipeline.hub.errors import JobError
from edge_pipeline.hub.tensors import Tensors


def quantized(
    source: Artifact,
    samples: Iterator[Tensors],
    weights: "pb.QuantizeDtype.ValueType",
    activations: "pb.QuantizeDtype.ValueType",
) -> bytes:
    """Return a QDQ model; ranges are the least and largest values that the samples give.

    Args:
        source: an exported float model.
        samples: one at a time, each input (1, ...).
        weights: a `QuantizeDtype`; int8 and int4 are possible, both without a zero point.
        activations: a `QuantizeDtype`; int8 and int16 are possible, both with a zero point.

    Raises:
        JobError: other integers are asked for, or ONNX Runtime cannot quantize the model.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    kinds = {pb.QUANTIZE_DTYPE_INT8: QuantType.QUInt8, pb.QUANTIZE_DTYPE_INT16: QuantType.QUInt16}
    of_weights = {pb.QUANTIZE_DTYPE_INT8: QuantType.QInt8, pb.QUANTIZE_DTYPE_INT4: QuantType.QInt4}
    if weights not in of_weights or activations not in kinds:
        raise JobError(
            pb.JOB_FAILURE_TYPE_UNSUPPORTED,
            "this hub quantizes weights to int8 or int4, and activations to int8 or int16",
        )
    plain = (weights, activations) == (pb.QUANTIZE_DTYPE_INT8, pb.QUANTIZE_DTYPE_INT8)
    names = [one.name for one in source.inputs]

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            sample = next(samples, None)
            return sample and dict(zip(names, sample, strict=True))

    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        given.write_bytes(source.files["model.onnx"])
        try:
            quantize_static(
                str(given),
                str(made),
                Samples(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=of_weights[weights],
                activation_type=kinds[activations],
                extra_options={"UseQDQContribOps": not plain},
            )
        except JobError:
            raise
        except Exception as error:
            raise JobError(
                pb.JOB_FAILURE_TYPE_MODEL_UNKNOWN, f"ONNX Runtime cannot quantize the model: {str(error)[:300]}"
            ) from error
        return made.read_bytes()
