"""Wiring of splitting and fine-tuning."""

from collections.abc import Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Target
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.nodes import finetune, split
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(model: str, spec: ModelSpec, targets: Sequence[Target]) -> list[Node]:
    """Return the nodes that make `split` and `weights`, once per model."""
    fixed = {"spec": spec, "subject": model}
    inputs = ["split", "checkpoints", "params:finetune"]
    return [
        stage_node(model, "split", bind(split, **fixed), ["params:split"], ["split"], targets),
        stage_node(model, "finetune", bind(finetune, **fixed), inputs, ["weights"], targets),
    ]
