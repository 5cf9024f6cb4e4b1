"""What a Hub made, as files of this machine."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import disk_errors
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.aihub.client import Client

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

UNPACKED_BYTES = 2**32
"""Most that the files of a downloaded model may have."""

_ENDINGS = {RuntimeName.TFLITE: ".tflite", RuntimeName.QNN_CONTEXT_BINARY: ".bin"}


def compiled_files(client: Client, name: str, runtime: RuntimeName) -> tuple[str, dict[str, bytes]]:
    """Return the name of the file that the engine opens, and all files of a model.

    Raises:
        DeviceError: the Hub does not give it, or it has other files.
    """
    ending = _ENDINGS.get(runtime, ".onnx")
    with tempfile.TemporaryDirectory() as folder, disk_errors(Path(folder) / "download"):
        found = {one.name: one.read_bytes() for one in _files(client, name, Path(folder))}
    opened = [one for one in found if one.endswith(ending)]
    if len(opened) != 1:
        raise DeviceError(
            f"what AI Hub compiled has the files {', '.join(sorted(found)) or 'none'}, not one that ends in {ending}"
        )
    if len(found) == 1:
        return f"model{ending}", {f"model{ending}": found[opened[0]]}
    return opened[0], found


def onnx_model(client: Client, name: str) -> bytes:
    """Return an ONNX model as one file; the Hub may give its weights beside it.

    Raises:
        DeviceError: the Hub does not give it, or it is no ONNX model.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder, disk_errors(Path(folder) / "download"):
        files = _files(client, name, Path(folder))
        models = [one for one in files if one.suffix == ".onnx"]
        if len(models) != 1:
            listed = ", ".join(sorted(one.name for one in files)) or "none"
            raise DeviceError(f"what AI Hub made has the files {listed}, not one that ends in .onnx")
        try:
            return bytes(onnx.load(str(models[0])).SerializeToString())
        except Exception as error:
            raise DeviceError(f"what AI Hub made is no ONNX model: {str(error)[:300]}") from error


def versions(model: "pb.Model") -> dict[str, Any]:
    """Return the version of Qualcomm's tools that the Hub tells of a model."""
    from qai_hub import public_api_pb2 as pb

    known = dict(model.metadata.entries)
    found = known.get(pb.MODEL_METADATA_KEY_QAIRT_SDK_VERSION) or known.get(pb.MODEL_METADATA_KEY_QNN_SDK_VERSION)
    return {"qairt": found} if found else {}


def _files(client: Client, name: str, folder: Path) -> list[Path]:
    """Download a model into `folder` and return its files."""
    from qai_hub import public_rest_api as rest

    client.ask(rest.download_model, name, str(folder), verbose=False, extract_model=True)
    found = [one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()]
    size = sum(one.stat().st_size for one in found)
    if size > UNPACKED_BYTES:
        raise DeviceError(
            f"what AI Hub made has {size / 1e9:.1f} GB, more than the {UNPACKED_BYTES / 1e9:.1f} GB taken"
        )
    return found
