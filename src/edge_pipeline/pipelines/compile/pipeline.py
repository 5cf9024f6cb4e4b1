"""Wiring of compilation."""

from kedro.pipeline import Node

from edge_pipeline.core.types import Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(target: Target, device: DeviceSpec) -> list[Node]:
    """Return the node that makes `<target>.compiled`."""
    function = bind(compile, target=target, device=device, subject=target.name)
    inputs = [f"{target.precision}.exported", "compilations", "params:compile"]
    return [stage_node(target.model, f"{target.slug}.compile", function, inputs, [f"{target.slug}.compiled"], [target])]
