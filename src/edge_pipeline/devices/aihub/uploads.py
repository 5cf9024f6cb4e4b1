"""Models and datasets on a Hub: each is sent once, by its content."""

import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.files import disk_errors, sha256
from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.devices.aihub.client import Client, GoneError, quiet
from edge_pipeline.devices.aihub.ledger import Ledger, key_of

MODELS, DATASETS = "models", "datasets"

ENCODINGS = ".encodings"
"""How the name of AIMET's file of scales ends."""

_STILL_NEEDED_S = 6 * 3600
"""A dataset that expires sooner is sent again: a job may wait that long for its device."""


def content_key(files: Mapping[str, bytes]) -> str:
    """Return the hash of a model's files."""
    return key_of({name: sha256(data) for name, data in files.items()})


def model(client: Client, ledger: Ledger, files: Mapping[str, bytes], runtime: RuntimeName) -> str:
    """Return the id of a model on the Hub, which is sent if it is not there yet.

    Args:
        client: the account.
        ledger: records of its Hub.
        files: of the model; several are sent as one folder, which is AIMET's if one of them has encodings.
        runtime: that of an artifact, or onnx for an exported model.

    Raises:
        DeviceError: the Hub does not take it.
    """
    from qai_hub import public_api_pb2 as pb
    from qai_hub import public_rest_api as rest

    types = {
        RuntimeName.TFLITE: (pb.MODEL_TYPE_TFLITE, "model.tflite"),
        RuntimeName.QNN_CONTEXT_BINARY: (pb.MODEL_TYPE_QNN_CONTEXT_BINARY, "model.bin"),
    }
    kind, name = types.get(runtime, (pb.MODEL_TYPE_ONNX, "model.onnx"))
    if any(one.endswith(ENCODINGS) for one in files):
        kind, name = pb.MODEL_TYPE_AIMET_ONNX, "model.aimet"
    key = content_key(files)

    def send(folder: Path) -> Any:
        path = folder / name
        if len(files) > 1:
            path = folder / f"{name}.zip"
            with zipfile.ZipFile(path, "w") as archive:
                for inner, data in files.items():
                    archive.writestr(f"{name}/{inner}", data)
        else:
            path.write_bytes(next(iter(files.values())))
        return client.ask(
            rest.create_and_upload_model,
            str(path),
            kind,
            name=f"edge-pipeline {key[:16]}",
            project_id=client.project,
            is_directory=len(files) > 1,
            verbose=False,
            logger=quiet(),
        )

    return _sent(client, ledger, MODELS, key, rest.get_model, send)


def dataset(client: Client, ledger: Ledger, key: str, write: Callable[[Path], None]) -> str:
    """Return the id of a dataset on the Hub, which is sent if it is not there, or about to expire.

    Args:
        client: the account.
        ledger: records of its Hub.
        key: hash of its content.
        write: writes it as an .h5 file.

    Raises:
        DeviceError: the Hub does not take it.
    """
    from qai_hub import public_rest_api as rest

    def send(folder: Path) -> Any:
        path = folder / "inputs.h5"
        write(path)
        name = f"edge-pipeline {key[:16]}"
        return client.ask(
            rest.create_and_upload_dataset, path, name, project_id=client.project, verbose=False, logger=quiet()
        )

    return _sent(client, ledger, DATASETS, key, rest.get_dataset, send)


def remember(ledger: Ledger, artifact: Artifact, name: str) -> None:
    """Keep that the Hub has an artifact already, as the model `name`: it made it."""
    ledger.write(MODELS, content_key(artifact.files), {"id": name})


def _sent(
    client: Client,
    ledger: Ledger,
    kind: str,
    key: str,
    get: Callable[..., Any],
    send: Callable[[Path], Any],
) -> str:
    with ledger.locked(kind, key):
        found = ledger.read(kind, key).get("id")
        if found and _usable(client, get, found):
            return str(found)
        with tempfile.TemporaryDirectory() as name, disk_errors(Path(name) / "upload"):
            answer = send(Path(name))
        if not answer.id:
            raise DeviceError(f"AI Hub did not take the upload: {answer.status or 'it gave no reason'}")
        ledger.write(kind, key, {"id": answer.id})
        return str(answer.id)


def _usable(client: Client, get: Callable[..., Any], name: str) -> bool:
    """Return whether a model or dataset is whole, and will be there for a while."""
    try:
        found = client.ask(get, name)
    except GoneError:
        return False
    fields = found.DESCRIPTOR.fields_by_name
    if "expiration_time" in fields and found.HasField("expiration_time") and not found.permanent:
        return bool(found.expiration_time.seconds > time.time() + _STILL_NEEDED_S) and found.file_upload_complete
    return bool(found.file_upload_complete)
