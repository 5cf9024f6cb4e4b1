"""Export the float network or its simulation, and measure what the export changed."""

from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.parameters import ExportParameters
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.references import FILE, References, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_pipeline.datasets.base import Samples
    from edge_pipeline.pipelines.references import Tensors

MINIMUM_DB = {
    Precision.FLOAT: 80.0,
    Precision.FLOAT16: 40.0,
    Precision.W8A16: 40.0,
    Precision.W4A16: 40.0,
}
"""Below this agreement between the exported file and its source, the export is wrong, not rounded."""

MINIMUM_A8_DB = 20.0
"""The same where activations are integers of 8 bits."""

NEWER_INTEGERS_OPSET = 21
"""The first opset that quantizes to 4 and 16 bits."""

ROUNDING_DB = 6.0
"""Engines round differently, which layer by layer grows to the size of the quantization noise itself: an output that
quantization changes much may differ between engines by so many dB more."""

OF_QUANTIZATION = ("techniques", "layout", "ladder", "warnings", "float_operators", "hub")
"""What is told of a simulation beside every artifact made from it."""

SHOWN = 4
"""Number of test pictures whose predictions are drawn."""

REFERENCE_BYTES = 64 * 2**20
"""Size of the inputs that are recorded for comparisons; never fewer than four of them."""


@isolated("export")
@one_at_a_time
def export(
    split: Split,
    weights: Artifact,
    source: Artifact,
    parameters: ExportParameters,
    *,
    spec: ModelSpec,
    precision: Precision,
    subject: str,
) -> Artifact:
    """Write ONNX (and a `.pt2` for LiteRT) with reference outputs on validation images.

    Args:
        split: names the validation part.
        weights: the float network.
        source: what is exported: the weights themselves, or the calibrated simulation.
        parameters: opset and number of images to compare on.
        spec: the model.
        precision: decides between a float and a QDQ file.
        subject: shown in messages.

    Raises:
        ExportError: the ONNX file's outputs do not agree with its source.
    """
    import onnx
    import torch

    from edge_pipeline.core.numerics import max_difference
    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.pipelines.export.sources import float_source, quantized_source
    from edge_pipeline.pipelines.finetune.nodes import open_samples
    from edge_pipeline.quantization.export import to_float16
    from edge_pipeline.runtimes.session import open_session, run

    samples, interface = open_samples(spec), recipes.interface(spec)
    chosen = balanced_subset(samples, split.validation, _affordable(parameters.check_images, interface), split.seed)
    shown = balanced_subset(samples, split.test, SHOWN, split.seed)
    inputs = _inputs(samples, interface, chosen)
    network = float_source(spec, weights)
    exported_from = quantized_source(spec, weights, source) if precision.quantized else network
    found = References(
        inputs, network.run(inputs), exported_from.run(inputs), network.run(_inputs(samples, interface, shown))
    )
    opset: int = parameters.opset
    if precision.quantized and _has_newer_integers(precision, source):
        opset = max(opset, NEWER_INTEGERS_OPSET)
    files = {"model.onnx": exported_from.onnx(opset)}
    if precision is Precision.FLOAT16:
        files["model.onnx"] = to_float16(files["model.onnx"])
    session = open_session("onnx", files["model.onnx"], threads=1)
    rows = [run(session, [one[i : i + 1] for one in inputs]) for i in range(len(chosen))]
    outputs = _joined(rows)
    agreement = agreement_db(found.source, outputs, interface)
    least = least_db(precision, found, interface)
    if not agreement >= least:
        raise ExportError(
            f"the ONNX file differs from what was exported: {agreement:.1f} dB on {len(chosen)} images, at least "
            f"{least:.0f} dB expected"
        )
    files |= exported_from.encodings(opset, parameters.encodings_version)
    litert = any(target.runtime is RuntimeName.TFLITE and target.precision is precision for target in spec.expand(""))
    if litert and "hub" not in source.details:
        files["model.pt2"] = exported_from.program()
    files[FILE] = pack(found)
    tools = {"torch": torch.__version__, "onnx": onnx.__version__}
    return Artifact(
        "exported",
        files,
        source.lineage,
        weights.inputs,
        weights.outputs,
        {**source.tools, **tools},
        {
            "precision": precision.value,
            "interface": interface.model_dump(mode="json"),
            "opset": _opset(files["model.onnx"]),
            "images": list(chosen),
            "shown": list(shown),
            "quantization": {key: source.details[key] for key in OF_QUANTIZATION if key in source.details},
            "onnx_vs_source_sqnr_db": agreement,
            "onnx_vs_source_max_difference": max(map(max_difference, found.source, outputs)),
            "onnx_vs_float_sqnr_db": agreement_db(found.float, outputs, interface),
        },
    )


def least_db(precision: Precision, known: References, interface: Interface) -> float:
    """Return the agreement in dB that an engine must reach with what was exported, or it does something else."""
    least = MINIMUM_DB.get(precision, MINIMUM_A8_DB)
    if precision.quantized:
        return min(least, agreement_db(known.float, known.source, interface) - ROUNDING_DB)
    return least


def _has_newer_integers(precision: Precision, simulation: Artifact) -> bool:
    """Whether some number of a simulation has 4 or 16 bits."""
    layout = simulation.details.get("layout")
    if layout is None:
        return precision.bits != (8, 8)
    formats = [Precision(one).bits for one in layout["overrides"].values()]
    return any(bits not in (None, (8, 8)) for bits in [*formats, (layout["weight_bits"], layout["activation_bits"])])


def _opset(model: bytes) -> int:
    import onnx

    found = onnx.load_from_string(model).opset_import
    return next(int(one.version) for one in found if one.domain in ("", "ai.onnx"))


def agreement_db(reference: "Tensors", actual: "Tensors", interface: Interface) -> float:
    """Return the SQNR in dB of the output that agrees least. Class indices are no signal and are left out."""
    from edge_pipeline.core.numerics import sqnr_db

    return min(
        sqnr_db(r, a)
        for r, a, tensor in zip(reference, actual, interface.outputs, strict=True)
        if tensor.name != "class_idx"
    )


def _affordable(wanted: int, interface: Interface) -> int:
    from math import prod

    size = 4 * sum(prod(tensor.shape) for tensor in interface.inputs)
    return min(wanted, max(SHOWN, REFERENCE_BYTES // size))


def _inputs(samples: "Samples", interface: Interface, indices: "Sequence[int]") -> "Tensors":
    from edge_pipeline.pipelines.loading import batches

    (batch,) = batches(samples, interface, indices, len(indices))
    return batch.inputs


def _joined(rows: Any) -> "Tensors":
    import numpy as np

    return tuple(np.concatenate(one) for one in zip(*rows, strict=True))
