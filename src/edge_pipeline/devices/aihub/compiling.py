"""Compile on a Hub: the exported ONNX model goes there, what the device loads comes back."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, RuntimeName, Target
from edge_pipeline.devices.aihub import downloads, hub, jobs, linking, uploads
from edge_pipeline.devices.aihub.client import Client
from edge_pipeline.devices.aihub.ledger import Ledger, key_of
from edge_pipeline.runtimes.base import compiled

if TYPE_CHECKING:
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.devices.inventory import DeviceSpec

OURS = ("--target_runtime", "--output_names")
"""Options that follow from the target."""

DLC = "qnn_dlc"
"""The Hub's word for what is linked: a network that is not yet compiled for a chip."""

_EXPORTED = "model.onnx"
_WITH_ENCODINGS = {"model.onnx": "qairt.onnx", "model.encodings": "qairt.encodings"}


@dataclass(frozen=True)
class Wishes:
    """How a Hub shall compile.

    Attributes:
        options: more options of its compiler, `--qairt_version 2.40` for instance.
        time_limit_s: seconds at work, for each job.
        encodings: whether a quantized model is sent as a float one with AIMET's encodings instead of QDQ.
        link: whether context binaries are made by compiling to a DLC and linking.
        link_options: of its linker.
    """

    options: str = ""
    time_limit_s: float = 300.0
    encodings: bool = False
    link: bool = False
    link_options: str = ""


@dataclass(frozen=True)
class Made:
    """A model that a Hub made: its message there, and the job that made it."""

    model: "pb.Model"
    job: str
    options: str


def compile_there(spec: "DeviceSpec", exported: Artifact, target: Target, wishes: Wishes) -> Artifact:
    """Return the `compiled` artifact of an exported ONNX model, float or quantized, that the Hub makes for a device.

    Args:
        spec: entry of devices.yml.
        exported: what is sent: its ONNX file, or that for encodings and these, nothing else.
        target: names the runtime.
        wishes: how.

    Raises:
        CompileError: the Hub cannot be reached, does not take the model, or fails to compile it.
    """
    try:
        client, ledger = hub.connected(spec)
        device = hub.chosen(client, spec)
        hub.check_runtime(device, target.runtime)
        linked = wishes.link and target.runtime is RuntimeName.QNN_CONTEXT_BINARY
        runtime = DLC if linked else target.runtime.value
        made = compiled_there(client, ledger, device, exported, target, runtime, wishes)
        details = {"job": made.job, "page": client.page(made.job), "device": device.name, "os": device.os}
        details |= {"options": made.options, "source": _source(exported, target, wishes)[0]}
        if linked:
            name, model = linking.linked_there(
                client,
                ledger,
                device,
                [made.model.model_id],
                options=wishes.link_options,
                target=target.name,
                time_limit_s=wishes.time_limit_s,
            )
            details |= {"link_job": name, "link_page": client.page(name), "link_options": wishes.link_options}
        else:
            name, model = made.job, made.model
        _check_interface(model, exported, target, client.page(name))
        model_file, content = downloads.compiled_files(client, model.model_id, target.runtime)
    except DeviceError as error:
        told = str(error)
        raise CompileError(told if told.startswith(target.name) else f"{target.name}: {told}") from error
    artifact = compiled(
        exported,
        target,
        model_file,
        content,
        {"qai-hub": version("qai-hub")},
        hub=details,
        **downloads.versions(model),
    )
    uploads.remember(ledger, artifact, model.model_id)
    return artifact


def compiled_there(
    client: Client,
    ledger: Ledger,
    device: "pb.Device",
    exported: Artifact,
    target: Target,
    runtime: str,
    wishes: Wishes,
) -> Made:
    """Return what one compile job makes of an exported model for a `--target_runtime` of the Hub.

    Raises:
        DeviceError: the Hub cannot be reached, does not take the model, or fails to compile it.
    """
    from qai_hub import public_rest_api as rest

    _, files = _source(exported, target, wishes)
    source = uploads.model(client, ledger, files, RuntimeName.ONNX)
    names = ",".join(one.name for one in exported.outputs)
    whole = f"--target_runtime {runtime} --output_names {shlex.quote(names)} {wishes.options}".strip()
    key = key_of("compile", uploads.content_key(files), [device.name, device.os], whole)
    name, job = jobs.run(
        client,
        ledger,
        "compile",
        key,
        lambda name: _job(name, source, device, whole),
        target=target.name,
        time_limit_s=wishes.time_limit_s,
    )
    made = job.compile_job.target_model.model_id
    if not made:
        raise DeviceError(f"{target.name}: the job {name} made no model. Its page: {client.page(name)}")
    return Made(client.ask(rest.get_model, made), name, whole)


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


def _source(exported: Artifact, target: Target, wishes: Wishes) -> tuple[str, dict[str, bytes]]:
    """Return what is sent: a word for it, and the files."""
    if not (wishes.encodings and target.precision.quantized):
        return "onnx", {_EXPORTED: exported.files[_EXPORTED]}
    missing = [name for name in _WITH_ENCODINGS.values() if name not in exported.files]
    if missing:
        raise DeviceError(
            f"{target.name}: the exported model has no {' and no '.join(missing)}, which AIMET makes of networks in "
            "PyTorch; set `compile.hub_source: qdq`"
        )
    return "onnx with encodings", {name: exported.files[own] for name, own in _WITH_ENCODINGS.items()}


def _job(name: str, model: str, device: "pb.Device", options: str) -> "pb.Job":
    from qai_hub import public_api_pb2 as pb

    job = pb.CompileJob(name=name, options=options)
    job.model.model_id = model
    job.devices.devices.append(device)
    return pb.Job(compile_job=job)


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

    words: dict[Any, str] = {
        value: word.removeprefix("TENSOR_DTYPE_").lower() for word, value in pb.TensorDtype.items()
    }
    return f"{words.get(dtype, str(dtype))} {tuple(shape)}"
