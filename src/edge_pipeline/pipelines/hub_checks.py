"""What the configuration asks of AI Hub that cannot be."""

from collections.abc import Mapping, Sequence

from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.parameters import ModelParameters


def unfit(name: str, spec: ModelSpec, parameters: ModelParameters, devices: Mapping[str, DeviceSpec]) -> list[str]:
    """Return what is wrong with a model whose network is quantized, linked or sent with encodings at AI Hub.

    Args:
        name: of the model.
        spec: its entry in models.yml.
        parameters: its parameters.
        devices: content of devices.yml.
    """
    if not set(spec.targets.devices) <= set(devices):
        return []  # told elsewhere
    targets = [target for target in spec.expand(name) if target.runtime in devices[target.device].engines]
    found = _quantized_there(spec, targets, devices) if parameters.quantize.where == "hub" else []
    there = [target for target in targets if devices[target.device].kind == "aihub"]
    if parameters.compile.hub_source == "encodings" and any(target.precision.quantized for target in there):
        found += [f"compile.hub_source: {problem}" for problem in _without_encodings(spec, parameters)]
    if parameters.compile.hub_link and there and all(t.runtime is not RuntimeName.QNN_CONTEXT_BINARY for t in there):
        found.append(
            "compile.hub_link: only context binaries are linked, and none of the targets at AI Hub is one; add "
            "'qnn_context_binary' to targets.runtimes, or set false"
        )
    return [f"parameters: {name}.{problem}" for problem in found]


def _quantized_there(spec: ModelSpec, targets: Sequence[Target], devices: Mapping[str, DeviceSpec]) -> list[str]:
    found = []
    if spec.on_premises:
        found.append(
            "quantize.where: 'hub' would move weights and calibration images off the premises, while models.yml has "
            "`on_premises: true`; set 'here'"
        )
    if any(target.precision is Precision.MIXED for target in targets):
        found.append("quantize.where: 'hub' gives all layers the same integers; take 'mixed' out of targets.precisions")
    here = dict.fromkeys(
        target.device
        for target in targets
        if target.runtime is RuntimeName.TFLITE
        and target.precision.quantized
        and devices[target.device].kind != "aihub"
    )
    found += [
        f"quantize.where: 'hub' gives QDQ ONNX back, of which this machine makes no tflite for '{device}'; only "
        "devices of the kind aihub get one: leave out the device or, with targets.exclude, the quantized tflite targets"
        for device in here
    ]
    return found


def _without_encodings(spec: ModelSpec, parameters: ModelParameters) -> list[str]:
    """Return why there will be no `qairt.encodings` beside the exported model."""
    if parameters.quantize.where == "hub":
        return ["'encodings' are AIMET's, and `quantize.where: hub` makes none; set 'qdq'"]
    if spec.stays_onnx:
        return ["'encodings' are made of networks in PyTorch, and this model stays ONNX; set 'qdq'"]
    return []
