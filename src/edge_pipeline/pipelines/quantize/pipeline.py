"""Wiring of quantization."""

from collections.abc import Iterable, Mapping, Sequence

from kedro.pipeline import Node

from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.wiring import bind, stage_node


def nodes(
    model: str, spec: ModelSpec, precision: Precision, targets: Sequence[Target], devices: Mapping[str, DeviceSpec]
) -> list[Node]:
    """Return the node that makes `<precision>.simulation`; none for float."""
    if not precision.quantized:
        return []
    function = bind(
        quantize,
        spec=spec,
        precision=precision,
        hexagon=rules_for(devices[target.device].hexagon for target in targets),
        high=finer(targets, devices),
        npu=any(devices[target.device].hexagon or target.runtime.npu for target in targets),
        subject=f"{model}/{precision}",
        hub_folder=next((devices[t.device].folder for t in targets if devices[t.device].kind == "aihub"), None),
    )
    inputs = ["split", "weights", f"{precision}.ladder", "params:quantize"]
    return [stage_node(model, f"{precision}.quantize", function, inputs, [f"{precision}.simulation"], targets)]


def rules_for(versions: Iterable[str | None]) -> str:
    """Return the oldest version of the NPU among the devices, whose rules all of them can follow; `v73` without any."""
    known = [version for version in versions if version]
    return min(known, default="v73")


def finer(targets: Sequence[Target], devices: Mapping[str, DeviceSpec]) -> str:
    """Return what single layers can be given besides 8-bit integers on all targets; `off` if there is nothing."""
    if all(target.runtime is not RuntimeName.TFLITE for target in targets):
        return "w8a16"
    return "float" if all(devices[t.device].floats or not t.runtime.npu for t in targets) else "off"
