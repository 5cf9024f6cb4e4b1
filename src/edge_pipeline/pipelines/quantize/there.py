"""Let AI Hub quantize: what is made there stands in the place of AIMET's simulation."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters

if TYPE_CHECKING:
    from edge_pipeline.devices.agent.tensors import Tensors
    from edge_pipeline.pipelines.quantize.calibration import Inputs

OPSET = 17
"""Of the float model that is sent."""

TECHNIQUE = "AI Hub"


def quantized_there(
    spec: ModelSpec,
    weights: Artifact,
    parameters: QuantizeParameters,
    precision: Precision,
    calibration: "Inputs",
    *,
    subject: str,
    folder: str | None,
) -> tuple[dict[str, bytes], dict[str, str], dict[str, Any]]:
    """Return files, tools and details of what AI Hub makes of the float network. Only inputs are sent, never labels.

    Raises:
        QuantizationError: the model must stay on the premises, is quantized already, or the Hub cannot quantize it.
    """
    from edge_pipeline.devices.aihub.quantizing import quantize_there
    from edge_pipeline.models.onnx_file import is_quantized
    from edge_pipeline.pipelines.export.sources import float_source

    if spec.on_premises:
        raise QuantizationError("`on_premises: true` keeps weights and images here; set `quantize.where: here`")
    model = float_source(spec, weights).onnx(OPSET)
    if is_quantized(model):
        raise QuantizationError(
            "the ONNX model is quantized already; set `quantize.where: here`, which takes it as it is"
        )
    found = quantize_there(
        model,
        _Arrays(calibration),
        weights.inputs,
        weights.outputs,
        precision=precision,
        options=parameters.hub_options,
        folder=folder,
        target=subject,
        time_limit_s=parameters.time_limit_s,
    )
    return {recipes.ONNX: found.model}, {"qai-hub": version("qai-hub")}, {"techniques": [TECHNIQUE], "hub": found.job}


@dataclass(frozen=True)
class _Arrays:
    """The calibration images as arrays, read from the dataset each time."""

    inputs: "Inputs"

    def __iter__(self) -> "Iterator[Tensors]":
        for batch in self.inputs:
            yield tuple(one.numpy() for one in batch)
