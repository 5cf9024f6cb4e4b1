"""Wiring of validation."""

from kedro.pipeline import Node

from edge_pipeline.core.types import Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.validate.nodes import validate
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(spec: ModelSpec, target: Target, device: DeviceSpec) -> list[Node]:
    """Return the node that makes `<target>.validation` and `<target>.predictions`."""
    function = bind(validate, spec=spec, device=device, target=target, subject=target.name)
    inputs = ["split", f"{target.precision}.exported", f"{target.slug}.compiled", "params:validate"]
    name, outputs = f"{target.slug}.validate", [f"{target.slug}.validation", f"{target.slug}.predictions"]
    return [stage_node(target.model, name, function, inputs, outputs, [target])]
