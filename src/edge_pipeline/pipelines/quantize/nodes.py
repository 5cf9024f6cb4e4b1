"""Quantize the fine-tuned network with AIMET."""

from typing import Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters


@isolated("quantize")
@one_at_a_time
def quantize(
    split: Split, weights: Artifact, parameters: QuantizeParameters, *, spec: ModelSpec, subject: str
) -> Artifact:
    """Calibrate an 8-bit simulation; return its state and its encodings."""
    import aimet_torch
    import torch

    from edge_pipeline.datasets.base import batches, open_dataset
    from edge_pipeline.datasets.split import stratified_subset
    from edge_pipeline.models.classifier import state_to_bytes
    from edge_pipeline.quantization import ptq

    samples = open_dataset(spec.dataset, spec.image_shape)
    chosen = stratified_subset(samples, split.train, parameters.calibration_images, parameters.seed)
    if not chosen:
        raise QuantizationError("the calibration set is empty: the training part has no images")
    sim = build_simulation(spec, weights, parameters)
    steps = -(-len(chosen) // parameters.batch_size)
    found = track(batches(samples, chosen, parameters.batch_size), f"{subject}: calibrate", steps)
    ptq.calibrate(sim, (torch.from_numpy(images) for images, _ in found))
    return Artifact(
        "simulation",
        {
            "simulation.pt": state_to_bytes(sim.model.state_dict()),
            "encodings.json": json_bytes(ptq.encodings(sim)),
        },
        weights.lineage,
        weights.inputs,
        weights.outputs,
        {"aimet-torch": aimet_torch.__version__, "torch": torch.__version__},
        {"parameters": parameters.model_dump(mode="json"), "calibration": list(chosen)},
    )


def build_simulation(spec: ModelSpec, weights: Artifact, parameters: QuantizeParameters) -> Any:
    """Return an uncalibrated AIMET simulation of the fine-tuned network."""
    from edge_pipeline.models import classifier
    from edge_pipeline.quantization import ptq

    net = classifier.build(spec)
    net.load_state_dict(classifier.state_from_bytes(weights.files["weights.pt"], "weights.pt"))
    dummy = classifier.dummy_input(spec)
    prepared = ptq.prepare(net, dummy, equalize=parameters.cross_layer_equalization)
    return ptq.simulate(prepared, dummy, scheme=parameters.scheme, config=parameters.hardware_config)
