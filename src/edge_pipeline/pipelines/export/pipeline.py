"""Wiring of the export."""

from collections.abc import Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Precision, Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.export.nodes import export
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(model: str, spec: ModelSpec, precision: Precision, targets: Sequence[Target]) -> list[Node]:
    """Return the node that makes `<precision>.exported` from the weights, or from the simulation."""
    source = f"{precision}.simulation" if precision.quantized else "weights"
    function = bind(export, spec=spec, precision=precision, subject=f"{model}/{precision}")
    inputs = ["split", "weights", source, "params:export"]
    return [stage_node(model, f"{precision}.export", function, inputs, [f"{precision}.exported"], targets)]
