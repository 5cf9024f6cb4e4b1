"""Wiring of quantization."""

from collections.abc import Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Precision, Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(model: str, spec: ModelSpec, precision: Precision, targets: Sequence[Target]) -> list[Node]:
    """Return the node that makes `<precision>.simulation`; none for float."""
    if precision is Precision.FLOAT:
        return []
    function = bind(quantize, spec=spec, subject=f"{model}/{precision}")
    inputs = ["split", "weights", "params:quantize"]
    return [stage_node(model, f"{precision}.quantize", function, inputs, [f"{precision}.simulation"], targets)]
