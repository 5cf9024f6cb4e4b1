"""Wiring of the scorecard."""

from collections.abc import Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.scorecard.nodes import scorecard
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(model: str, spec: ModelSpec, targets: Sequence[Target]) -> list[Node]:
    """Return the node that puts all targets side by side."""
    results = [f"{target.slug}.{kind}" for target in targets for kind in ("profile", "validation")]
    outputs = ["scorecard", "quality", "latency", "placement"]
    return [
        stage_node(
            model, "scorecard", bind(scorecard, spec=spec, targets=targets), ["weights", *results], outputs, targets
        )
    ]
