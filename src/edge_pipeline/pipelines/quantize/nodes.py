"""Quantize the fine-tuned network with AIMET."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

if TYPE_CHECKING:
    from edge_pipeline.pipelines.loading import Batch


@isolated("quantize")
@one_at_a_time
def quantize(
    split: Split, weights: Artifact, parameters: QuantizeParameters, *, spec: ModelSpec, subject: str
) -> Artifact:
    """Calibrate an 8-bit simulation on images of the training part; return its state and its encodings."""
    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.pipelines.finetune.nodes import open_samples
    from edge_pipeline.pipelines.loading import batches

    samples = open_samples(spec)
    chosen = balanced_subset(samples, split.train, parameters.calibration_images, parameters.seed)
    if not chosen:
        raise QuantizationError("the calibration set is empty: the training part has no images")
    size = 1 if spec.stays_onnx else parameters.batch_size
    found = batches(samples, recipes.interface(spec), chosen, size)
    shown = track(found, f"{subject}: calibrate", -(-len(chosen) // size))
    quantized = _of_onnx if spec.stays_onnx else _of_torch
    files, tools = quantized(spec, weights, parameters, shown)
    return Artifact(
        "simulation",
        files,
        weights.lineage,
        weights.inputs,
        weights.outputs,
        tools,
        {
            "parameters": parameters.model_dump(mode="json"),
            "calibration": list(chosen),
            "interface": weights.details["interface"],
        },
    )


def _of_torch(
    spec: ModelSpec, weights: Artifact, parameters: QuantizeParameters, batches: "Iterator[Batch]"
) -> tuple[dict[str, bytes], dict[str, str]]:
    import aimet_torch
    import torch

    from edge_pipeline.models.checkpoints import state_to_bytes
    from edge_pipeline.quantization import ptq

    sim = build_simulation(spec, weights, parameters)
    ptq.calibrate(sim, (tuple(torch.from_numpy(one) for one in batch.inputs) for batch in batches))
    files = {
        "simulation.pt": state_to_bytes(sim.model.state_dict()),
        "encodings.json": json_bytes(ptq.encodings(sim)),
    }
    return files, {"aimet-torch": aimet_torch.__version__, "torch": torch.__version__}


def _of_onnx(
    spec: ModelSpec, weights: Artifact, parameters: QuantizeParameters, batches: "Iterator[Batch]"
) -> tuple[dict[str, bytes], dict[str, str]]:
    from importlib.metadata import version

    from edge_pipeline.models.onnx_file import is_quantized
    from edge_pipeline.quantization.onnx_ptq import quantize_onnx

    model = weights.files[recipes.ONNX]
    if is_quantized(model):
        return {recipes.ONNX: model}, {}
    names = [tensor.name for tensor in recipes.interface(spec).inputs]
    found = quantize_onnx(
        model,
        (dict(zip(names, batch.inputs, strict=True)) for batch in batches),
        scheme=parameters.scheme,
        config=parameters.hardware_config,
        equalize=parameters.cross_layer_equalization,
    )
    files = {recipes.ONNX: found.model, "encodings.json": json_bytes(found.encodings)}
    return files, {"aimet-onnx": version("aimet-onnx")}


def build_simulation(spec: ModelSpec, weights: Artifact, parameters: QuantizeParameters) -> Any:
    """Return an uncalibrated AIMET simulation of the fine-tuned network."""
    from edge_pipeline.quantization import ptq

    net, inputs = recipes.restore(spec, weights), recipes.dummy_inputs(spec)
    prepared = ptq.prepare(net, inputs, equalize=parameters.cross_layer_equalization)
    return ptq.simulate(prepared, inputs, scheme=parameters.scheme, config=parameters.hardware_config)
