"""Wiring of the sensitivity report, a pipeline of its own: it takes one evaluation for each layer."""

from collections.abc import Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Precision, Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.sensitivity.nodes import report
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(model: str, spec: ModelSpec, targets: Sequence[Target]) -> list[Node]:
    """Return the nodes that make `<precision>.sensitivity` of every quantized precision."""
    found = []
    for precision in spec.targets.precisions:
        mine = [target for target in targets if target.precision is precision]
        if mine and precision.quantized and precision is not Precision.MIXED:
            function = bind(report, spec=spec, model=model, subject=f"{model}/{precision}")
            inputs = ["split", "weights", f"{precision}.simulation", "params:quantize"]
            outputs = [f"{precision}.sensitivity"]
            found.append(stage_node(model, f"{precision}.sensitivity", function, inputs, outputs, mine))
    return found
