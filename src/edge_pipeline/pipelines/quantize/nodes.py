"""Quantize the fine-tuned network with AIMET."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.files import json_bytes
from edge_pipeline.core.progress import track
from edge_pipeline.core.types import Artifact, Precision, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.isolation import isolated, one_at_a_time
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

if TYPE_CHECKING:
    from edge_pipeline.pipelines.quantize.calibration import Inputs
    from edge_pipeline.pipelines.quantize.techniques import Asked

SIMULATION = "simulation.pt"

_log = logging.getLogger(__name__)


@isolated("quantize")
@one_at_a_time
def quantize(
    split: Split,
    weights: Artifact,
    folder: Path,
    parameters: QuantizeParameters,
    *,
    spec: ModelSpec,
    precision: Precision,
    hexagon: str,
    high: str,
    npu: bool = False,
    subject: str,
    hub_folder: str | None = None,
) -> Artifact:
    """Return a calibrated simulation with its encodings, or in its place the QDQ model that AI Hub made.

    Args:
        split: whose training part the calibration images are drawn from, and whose validation part judges.
        weights: the fine-tuned network.
        folder: for what `auto` keeps between its steps.
        parameters: techniques and number formats.
        spec: the model.
        precision: of weights and activations.
        hexagon: version of the NPU of the target devices, whose rules AIMET follows.
        high: the finer precision that all runtimes of the targets take in single layers.
        npu: whether a target device has an NPU.
        subject: shown in messages.
        hub_folder: of this machine's records of AI Hub, if not the default one.

    Raises:
        QuantizationError: the network cannot be quantized as asked.
    """
    from edge_pipeline.datasets.split import balanced_subset
    from edge_pipeline.pipelines.finetune.nodes import open_samples
    from edge_pipeline.pipelines.quantize.calibration import Inputs, shortcomings

    samples = open_samples(spec)
    chosen = balanced_subset(samples, split.train, parameters.calibration_images, parameters.seed)
    if not chosen:
        raise QuantizationError("the calibration set is empty: the training part has no images")
    warnings = shortcomings(samples, chosen, parameters.calibration_images)
    for warning in warnings:
        _log.warning("%s: %s", subject, warning)
    calibration = Inputs(samples, recipes.interface(spec), chosen, parameters.batch_size)
    if parameters.where == "hub":
        from edge_pipeline.pipelines.quantize.there import quantized_there

        files, tools, details = quantized_there(
            spec, weights, parameters, precision, calibration, subject=subject, folder=hub_folder
        )
    elif spec.stays_onnx:
        files, tools, details = _of_onnx(spec, weights, parameters, precision, calibration, subject)
    else:
        from edge_pipeline.pipelines.quantize.techniques import Asked

        asked = Asked(precision, hexagon, high, npu, subject)
        files, tools, details = _of_torch(spec, split, weights, folder, parameters, asked, calibration)
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
            "warnings": warnings,
            "interface": weights.details["interface"],
            **details,
        },
    )


def _of_torch(
    spec: ModelSpec,
    split: Split,
    weights: Artifact,
    folder: Path,
    parameters: QuantizeParameters,
    asked: "Asked",
    calibration: "Inputs",
) -> tuple[dict[str, bytes], dict[str, str], dict[str, Any]]:
    import aimet_torch
    import torch

    from edge_pipeline.models.checkpoints import state_to_bytes
    from edge_pipeline.pipelines.quantize.auto import automatic, records
    from edge_pipeline.pipelines.quantize.techniques import Subject, layout_of, mixed, quantized
    from edge_pipeline.quantization import ptq
    from edge_pipeline.quantization.unquantized import float_operators

    task = Subject(spec, weights, calibration, split.train)
    details: dict[str, Any] = {}
    if parameters.auto:
        sim, layout, parameters, attempts = automatic(task, split, weights, folder, parameters, asked)
        details["ladder"] = records(attempts)
    else:
        layout = layout_of(parameters, asked, {})
        shown = track([layout], f"{asked.name}: quantize", 1)
        (sim,) = [quantized(task, parameters, one) for one in shown]
        if asked.precision is Precision.MIXED and not parameters.overrides:
            equalize = parameters.cross_layer_equalization
            sim, layout = mixed(task, sim, layout, parameters.mixed, asked.high, equalize=equalize)
    files = {
        SIMULATION: state_to_bytes(sim.model.state_dict()),
        "encodings.json": json_bytes(ptq.encodings(sim)),
    }
    left = float_operators(sim.model)
    if left:
        _log.warning("%s: AIMET has no quantized form of %s; they compute in float", asked.name, ", ".join(left))
    details |= {
        "float_operators": left,
        "layout": layout.to_dict(),
        "equalized": parameters.cross_layer_equalization,
        "techniques": parameters.techniques,
    }
    return files, {"aimet-torch": aimet_torch.__version__, "torch": torch.__version__}, details


def _of_onnx(
    spec: ModelSpec,
    weights: Artifact,
    parameters: QuantizeParameters,
    precision: Precision,
    calibration: "Inputs",
    subject: str,
) -> tuple[dict[str, bytes], dict[str, str], dict[str, Any]]:
    from importlib.metadata import version

    from edge_pipeline.models.onnx_file import is_quantized
    from edge_pipeline.quantization.onnx_ptq import quantize_onnx

    model = weights.files[recipes.ONNX]
    if is_quantized(model):
        return {recipes.ONNX: model}, {}, {}
    bits = precision.bits
    wrong = parameters.only_for_networks
    if bits is None or wrong:
        what = f"`{'`, `'.join(f'quantize.{one}' for one in wrong)}`" if wrong else f"the precision '{precision}'"
        raise QuantizationError(
            f"{what} cannot be applied to an ONNX model that stays one: calibration, ranges and equalization are all "
            "that is done. Give the model as a PyTorch network (`factory`, or a `.pt2` file) for more."
        )
    names = [tensor.name for tensor in recipes.interface(spec).inputs]
    single = calibration.one_by_one()
    found = quantize_onnx(
        model,
        (
            dict(zip(names, (one.numpy() for one in inputs), strict=True))
            for inputs in track(single, f"{subject}: calibrate", len(single))
        ),
        scheme=parameters.scheme,
        config="htp_v73",
        equalize=parameters.cross_layer_equalization,
        bits=bits,
    )
    files = {recipes.ONNX: found.model, "encodings.json": json_bytes(found.encodings)}
    return files, {"aimet-onnx": version("aimet-onnx")}, {"techniques": parameters.techniques}


def restored_simulation(spec: ModelSpec, weights: Artifact, simulation: Artifact) -> Any:
    """Return the calibrated AIMET simulation of a `simulation` artifact.

    Raises:
        QuantizationError: it was kept by another version of this package.
    """
    from edge_pipeline.models.checkpoints import state_from_bytes
    from edge_pipeline.quantization import ptq
    from edge_pipeline.quantization.layout import Layout

    if "hub" in simulation.details:
        raise QuantizationError(
            "AI Hub quantized this network, so there is no AIMET simulation of it, which sensitivity and overrides "
            "need; set `quantize.where: here`"
        )
    if "layout" not in simulation.details:
        raise QuantizationError("the simulation was kept by another version; make it again with `--tags quantize`")
    net, inputs = recipes.restore(spec, weights), recipes.dummy_inputs(spec)
    prepared = ptq.prepare(net, inputs, equalize=simulation.details["equalized"])
    sim = ptq.simulate(prepared, inputs, Layout(**simulation.details["layout"]))
    ptq.fill(sim, state_from_bytes(simulation.files[SIMULATION], SIMULATION))
    return sim
