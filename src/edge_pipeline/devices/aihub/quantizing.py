"""Quantize on a Hub: a float ONNX model and calibration inputs go there, a QDQ model comes back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import DeviceError, QuantizationError
from edge_pipeline.core.types import Precision, RuntimeName, TensorSpec
from edge_pipeline.devices.agent.tensors import Tensors
from edge_pipeline.devices.aihub import downloads, hub, jobs, tensors, uploads
from edge_pipeline.devices.aihub.client import Client
from edge_pipeline.devices.aihub.ledger import Ledger, key_of

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

PRECISIONS = (Precision.W8A8, Precision.W8A16, Precision.W4A8, Precision.W4A16)
"""What a quantize job can make: the same integers in all layers."""

LARGEST_BYTES = 2 * 10**9
"""Most that the calibration inputs may have before they are compressed."""


@dataclass(frozen=True)
class QuantizedThere:
    """A QDQ model, self-contained, and what is told of the job: its id, page, options and the Hub's address."""

    model: bytes
    job: dict[str, str]


def quantize_there(
    model: bytes,
    batches: Iterable[Tensors],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    precision: Precision,
    options: str,
    folder: str | None,
    target: str,
    time_limit_s: float,
) -> QuantizedThere:
    """Let the Hub calibrate and quantize a model. The same model, inputs and options are paid for once.

    Args:
        model: a float ONNX model with batch 1, self-contained.
        batches: calibration inputs, each (n, ...), without labels; iterated several times, one batch held at a time.
        inputs: of the model.
        outputs: of the model; the quantized one must have the same.
        precision: one of `PRECISIONS`.
        options: of the Hub's quantizer.
        folder: of this machine's records, or `None` for the default one.
        target: shown in messages.
        time_limit_s: seconds at work.

    Raises:
        QuantizationError: the Hub cannot be reached, does not take the job, fails, or returns another network.
    """
    weights, activations = _dtypes(precision)
    try:
        client, ledger = hub.opened(folder)
        data, content = _calibration(client, ledger, batches, inputs)
        files = {"model.onnx": model}
        source = uploads.model(client, ledger, files, RuntimeName.ONNX)
    except DeviceError as error:
        raise QuantizationError(f"{target}: {error}") from error

    def make(name: str) -> "pb.Job":
        from qai_hub import public_api_pb2 as pb

        job = pb.QuantizeJob(name=name, options=options, weights_dtype=weights, activations_dtype=activations)
        job.model.model_id, job.calibration_dataset.dataset_id = source, data
        return pb.Job(quantize_job=job)

    key = key_of("quantize", uploads.content_key(files), content, precision.value, options)
    try:
        name, job = jobs.run(client, ledger, "quantize", key, make, target=target, time_limit_s=time_limit_s)
        made = job.quantize_job.target_model.model_id
        if not made:
            raise DeviceError(f"{target}: the job {name} made no model. Its page: {client.page(name)}")
        found = downloads.onnx_model(client, made)
    except DeviceError as error:
        told = str(error)
        raise QuantizationError(told if told.startswith(target) else f"{target}: {told}") from error
    _check(found, inputs, outputs, f"{target}: what the job {name} made", client.page(name))
    details = {"job": name, "page": client.page(name), "address": client.address, "options": options}
    return QuantizedThere(found, {**details, "qai-hub": version("qai-hub")})


def _dtypes(precision: Precision) -> "tuple[pb.QuantizeDtype.ValueType, pb.QuantizeDtype.ValueType]":
    """Return the integers of weights and activations in the protocol's words."""
    from qai_hub import public_api_pb2 as pb

    if precision not in PRECISIONS or precision.bits is None:
        raise QuantizationError(
            f"AI Hub quantizes all layers alike, to {', '.join(PRECISIONS)}; '{precision}' is made with "
            "`quantize.where: here`"
        )
    kinds = {4: pb.QUANTIZE_DTYPE_INT4, 8: pb.QUANTIZE_DTYPE_INT8, 16: pb.QUANTIZE_DTYPE_INT16}
    weights, activations = precision.bits
    return kinds[weights], kinds[activations]


def _calibration(
    client: Client, ledger: Ledger, batches: Iterable[Tensors], specs: Sequence[TensorSpec]
) -> tuple[str, str]:
    """Return id and hash of the dataset of the calibration inputs."""
    size = count = 0
    for batch in batches:
        tensors.check(batch, specs)
        size, count = size + sum(one.nbytes for one in batch), count + len(batch[0])
    if size > LARGEST_BYTES:
        raise DeviceError(
            f"{count} calibration images are {size / 1e6:.0f} MB of inputs, more than the {LARGEST_BYTES / 1e6:.0f} MB "
            f"that are sent: lower `quantize.calibration_images` to {LARGEST_BYTES * count // size}; nothing was sent"
        )
    content = tensors.digest(batches, specs)
    return uploads.dataset(client, ledger, content, lambda path: tensors.write(path, batches, specs)), content


def _check(model: bytes, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], subject: str, page: str) -> None:
    """Check that a model is quantized and has the inputs and outputs that are known.

    Raises:
        QuantizationError: it is not, or has others.
    """
    from edge_pipeline.models.onnx_file import is_quantized
    from edge_pipeline.models.onnx_file import tensors as tensors_of

    if not is_quantized(model):
        raise QuantizationError(f"{subject} has no quantized operators. Page: {page}")
    for side, found, known in zip(("inputs", "outputs"), tensors_of(model), (inputs, outputs), strict=True):
        if [_shown(one) for one in found] != [_shown(one) for one in known]:
            told = "; ".join(map(_shown, found)), "; ".join(map(_shown, known))
            raise QuantizationError(f"{subject} has the {side} {told[0]}, not {told[1]}. Page: {page}")


def _shown(one: TensorSpec) -> str:
    return f"{one.name} {one.dtype} {one.shape}"
