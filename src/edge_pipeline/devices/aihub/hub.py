"""One device of a Hub, and what its account offers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import DeviceError, suggest
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.aihub.client import Client, open_client
from edge_pipeline.devices.aihub.ledger import DEFAULT_FOLDER, Ledger

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.devices.inventory import DeviceSpec

FRAMEWORKS = {
    RuntimeName.ONNX: "onnx",
    RuntimeName.TFLITE: "tflite",
    RuntimeName.QNN_CONTEXT_BINARY: "qnn",
    RuntimeName.PRECOMPILED_QNN_ONNX: "onnx",
}
"""What a device must have, in the Hub's words, to run artifacts of a runtime."""


def connected(spec: "DeviceSpec") -> tuple[Client, Ledger]:
    """Return the account and the records of its Hub.

    Raises:
        DeviceError: there is no token.
    """
    return opened(spec.folder)


def opened(folder: str | None) -> tuple[Client, Ledger]:
    """Return the account and the records of its Hub, which are in `folder` or in the default one.

    Raises:
        DeviceError: there is no token.
    """
    client = open_client()
    return client, Ledger(Path(folder or DEFAULT_FOLDER), client.address)


def offered(client: Client) -> "list[pb.Device]":
    """Return all devices of the account, by name.

    Raises:
        DeviceError: the Hub cannot be reached, or does not accept the token.
    """
    from qai_hub import public_rest_api as rest

    found = client.ask(rest.get_device_list).devices
    return sorted(found, key=lambda one: (one.name, one.os))


def chosen(client: Client, spec: "DeviceSpec") -> "pb.Device":
    """Return the device of an entry of devices.yml, of several the one that the Hub prefers.

    Raises:
        DeviceError: there is none; names the closest.
    """
    from qai_hub import public_rest_api as rest

    wanted, os = spec.hub_device or "", spec.os or ""
    attributes = [wanted] if ":" in wanted else []
    name = "" if attributes else wanted
    found = client.ask(rest.get_device_list, name=name, os=os, attributes=attributes, select=True).devices
    if found:
        first: pb.Device = found[0]
        return first
    every = offered(client)
    known = {one for device in every for one in (device.attributes if attributes else [device.name])}
    if wanted in known:
        versions = sorted({one.os or "none" for one in every if wanted in (one.name, *one.attributes)})
        raise DeviceError(f"AI Hub has no '{wanted}' with os '{os}'; it has {', '.join(versions)}")
    raise DeviceError(
        f"AI Hub has no device '{wanted}'; {suggest(wanted, known)} `kedro edge devices --hub` lists all of them"
    )


def check_runtime(device: "pb.Device", runtime: RuntimeName) -> None:
    """Check that a device runs artifacts of a runtime.

    Raises:
        DeviceError: it does not.
    """
    has = {one.removeprefix("framework:") for one in device.attributes if one.startswith("framework:")}
    if has and FRAMEWORKS[runtime] not in has:
        able = [name.value for name, framework in FRAMEWORKS.items() if framework in has]
        raise DeviceError(
            f"'{device.name}' of AI Hub does not run {runtime}, only {', '.join(able) or 'none of our runtimes'}; "
            "change the targets in models.yml"
        )


def facts(device: "pb.Device") -> dict[str, str]:
    """Return what a device is: name, operating system, chipset, version of its NPU."""
    found: dict[str, Any] = {"kind": "aihub", "hub_device": device.name, "os": device.os}
    for one in device.attributes:
        key, _, value = one.partition(":")
        if key in ("chipset", "hexagon"):
            found[key] = value
    return {key: value for key, value in found.items() if value}


def state(spec: "DeviceSpec") -> dict[str, Any]:
    """Return what a device is, and as `state` whether the Hub offers it."""
    try:
        client, _ = connected(spec)
        device = chosen(client, spec)
    except DeviceError as error:
        return {"state": "unreachable", "problem": str(error)}
    known = facts(device)
    system = " ".join(word for word in (_os(device), device.os) if word)
    return {"state": "ready", "cpu": known.get("chipset", device.name), "system": system}


def _os(device: "pb.Device") -> str:
    return next((one.removeprefix("os:") for one in device.attributes if one.startswith("os:")), "")
