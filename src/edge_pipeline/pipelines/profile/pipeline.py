"""Wiring of profiling."""

from kedro.pipeline import Node

from edge_pipeline.core.types import Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.profile.nodes import profile
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(target: Target, device: DeviceSpec) -> list[Node]:
    """Return the node that makes `<target>.profile`."""
    function = bind(profile, device=device, target=target, subject=target.name)
    inputs = [f"{target.precision}.exported", f"{target.slug}.compiled", "params:profile"]
    return [stage_node(target.model, f"{target.slug}.profile", function, inputs, [f"{target.slug}.profile"], [target])]
