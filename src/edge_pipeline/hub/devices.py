"""The devices of devices.yml in the words of the protocol."""

from collections.abc import Mapping, Sequence

from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.runtimes.chips import chip

_FRAMEWORKS = {
    RuntimeName.ONNX: "onnx",
    RuntimeName.PRECOMPILED_QNN_ONNX: "onnx",
    RuntimeName.TFLITE: "tflite",
    RuntimeName.QNN_CONTEXT_BINARY: "qnn",
}


def described(name: str, spec: DeviceSpec) -> pb.Device:
    """Return a device with the attributes that scripts choose by; `kind` and `label` are this hub's own."""
    frameworks = sorted({_FRAMEWORKS[one] for one in spec.engines})
    found = [f"framework:{one}" for one in frameworks]
    found.append(f"os:{'android' if spec.kind == 'adb' else 'linux'}")
    if spec.chip:
        one = chip(spec.chip)
        vendor = ["vendor:qualcomm", f"chipset:qualcomm-{one.name.lower()}", f"hexagon:{one.hexagon}"]
        found += [*vendor, *(["htp-supports-fp16:true"] if one.float16 else [])]
    found += [f"kind:{spec.kind}", *(f"label:{label}" for label in spec.labels)]
    return pb.Device(name=name, attributes=found)


def chosen(
    devices: Mapping[str, DeviceSpec], name: str, os: str, attributes: Sequence[str], first: bool
) -> pb.DeviceList:
    """Return the devices of this name, if it is not empty, with all of `attributes`; at most one if `first`.

    The version of a device's operating system is not known here, so none is found where one is asked for.
    """
    every = [described(key, spec) for key, spec in devices.items() if name in ("", key) and not os]
    found = [one for one in every if set(attributes) <= set(one.attributes)]
    return pb.DeviceList(devices=found[:1] if first else found, total_query_count=len(found))
