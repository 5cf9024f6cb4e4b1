"""Compile on a Hub: the exported ONNX model goes there, what the device loads comes back."""

import shlex
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.files import disk_errors
from edge_pipeline.core.types import Artifact, RuntimeName, Target
from edge_pipeline.devices.aihub import hub, jobs, uploads
from edge_pipeline.devices.aihub.client import Client
from edge_pipeline.devices.aihub.ledger import key_of
from edge_pipeline.runtimes.base import compiled

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.devices.inventory import DeviceSpec

OURS = ("--target_runtime", "--output_names")
"""Options that follow from the target."""

_EXPORTED = "model.onnx"
_ENDINGS = {RuntimeName.TFLITE: ".tflite", RuntimeName.QNN_CONTEXT_BINARY: ".bin"}


def compile_there(
    spec: "DeviceSpec", exported: Artifact, target: Target, *, options: str, time_limit_s: float
) -> Artifact:
    """Return the `compiled` artifact of an exported ONNX model, float or QDQ, that the Hub makes for a device.

    Args:
        spec: entry of devices.yml.
        exported: what is sent: its ONNX file, nothing else.
        target: names the runtime.
        options: more options of the Hub's compiler, `--qairt_version 2.40` for instance.
        time_limit_s: seconds at work.

    Raises:
        CompileError: the Hub cannot be reached, does not take the model, or fails to compile it.
    """
    from qai_hub import public_rest_api as rest

    try:
        client, ledger = hub.connected(spec)
        device = hub.chosen(client, spec)
        hub.check_runtime(device, target.runtime)
        files = {_EXPORTED: exported.files[_EXPORTED]}
        source = uploads.model(client, ledger, files, RuntimeName.ONNX)
        names = ",".join(one.name for one in exported.outputs)
        whole = f"--target_runtime {target.runtime} --output_names {shlex.quote(names)} {options}".strip()
        key = key_of("compile", uploads.content_key(files), [device.name, device.os], whole)
    except DeviceError as error:
        raise CompileError(f"{target.name}: {error}") from error
    try:
        name, job = jobs.run(
            client,
            ledger,
            "compile",
            key,
            lambda name: _job(name, source, device, whole),
            target=target.name,
            time_limit_s=time_limit_s,
        )
        made = job.compile_job.target_model.model_id
        if not made:
            raise DeviceError(f"{target.name}: the job {name} made no model. Its page: {client.page(name)}")
        model = client.ask(rest.get_model, made)
        _check_interface(model, exported, target, client.page(name))
        model_file, content = _downloaded(client, made, target.runtime)
    except DeviceError as error:
        told = str(error)
        raise CompileError(told if told.startswith(target.name) else f"{target.name}: {told}") from error
    details = {"job": name, "page": client.page(name), "device": device.name, "os": device.os, "options": whole}
    told_versions = _versions(model)
    artifact = compiled(
        exported, target, model_file, content, {"qai-hub": version("qai-hub")}, hub=details, **told_versions
    )
    uploads.remember(ledger, artifact, made)
    return artifact


def check_options(options: str) -> str:
    """Return `options` if the Hub's compiler can be given them.

    Raises:
        ValueError: they are no options, or one of those that follow from the target.
    """
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise ValueError(f"cannot be read as options: {error}") from error
    if words and not words[0].startswith("--"):
        raise ValueError(f"'{words[0]}' is no option; options begin with --, such as `--qairt_version 2.40`")
    taken = sorted({word.partition("=")[0] for word in words} & set(OURS))
    if taken:
        raise ValueError(f"{', '.join(taken)}: follows from the target, leave it out")
    return options.strip()


def _job(name: str, model: str, device: "pb.Device", options: str) -> "pb.Job":
    from qai_hub import public_api_pb2 as pb

    job = pb.CompileJob(name=name, options=options)
    job.model.model_id = model
    job.devices.devices.append(device)
    return pb.Job(compile_job=job)


def _downloaded(client: Client, name: str, runtime: RuntimeName) -> tuple[str, dict[str, bytes]]:
    """Return the name of the file that the engine opens, and all files of a model."""
    from qai_hub import public_rest_api as rest

    ending = _ENDINGS.get(runtime, ".onnx")
    with tempfile.TemporaryDirectory() as folder, disk_errors(Path(folder) / "download"):
        client.ask(rest.download_model, name, folder, verbose=False, extract_model=True)
        found = {one.name: one.read_bytes() for one in Path(folder).rglob("*") if one.is_file()}
    opened = [one for one in found if one.endswith(ending)]
    if len(opened) != 1:
        raise DeviceError(
            f"what AI Hub compiled has the files {', '.join(sorted(found)) or 'none'}, not one that ends in {ending}"
        )
    if len(found) == 1:
        return f"model{ending}", {f"model{ending}": found[opened[0]]}
    return opened[0], found


def _check_interface(model: "pb.Model", exported: Artifact, target: Target, page: str) -> None:
    """Check that a compiled model takes and gives what the exported one does."""
    for side, told, known in (
        ("inputs", model.input_spec, exported.inputs),
        ("outputs", model.output_spec, exported.outputs),
    ):
        found = [_shown(one.tensor_type.shape, one.tensor_type.dtype) for one in told.types]
        wanted = [f"{one.dtype} {one.shape}" for one in known]
        if found and sorted(found) != sorted(wanted):
            raise DeviceError(
                f"{target.name}: the {side} of the compiled model are {'; '.join(found)}, those of the exported one "
                f"{'; '.join(wanted)}. Leave options that change them out of `compile.hub_options`. Page: {page}"
            )


def _shown(shape: Sequence[int], dtype: int) -> str:
    from qai_hub import public_api_pb2 as pb

    words = {value: word.removeprefix("TENSOR_DTYPE_").lower() for word, value in pb.TensorDtype.items()}
    return f"{words.get(dtype, str(dtype))} {tuple(shape)}"


def _versions(model: "pb.Model") -> dict[str, Any]:
    """Return the version of Qualcomm's tools that the Hub tells of a model."""
    from qai_hub import public_api_pb2 as pb

    known = dict(model.metadata.entries)
    found = known.get(pb.MODEL_METADATA_KEY_QAIRT_SDK_VERSION) or known.get(pb.MODEL_METADATA_KEY_QNN_SDK_VERSION)
    return {"qairt": found} if found else {}
