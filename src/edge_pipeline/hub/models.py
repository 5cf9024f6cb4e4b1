"""Between the models of the protocol, which are files, and artifacts."""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.child import ChildError, run_child
from edge_pipeline.core.interface import Interface, Raw
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target, TensorSpec
from edge_pipeline.hub.errors import JobError

UNPACKED_BYTES = 2**32
"""Most that the files of a zipped model may have."""

CHECK_S = 300.0
"""Time that an uploaded model has to be loaded and run once."""

TYPES = {
    RuntimeName.ONNX: pb.MODEL_TYPE_ONNX,
    RuntimeName.PRECOMPILED_QNN_ONNX: pb.MODEL_TYPE_ONNX,
    RuntimeName.TFLITE: pb.MODEL_TYPE_TFLITE,
    RuntimeName.QNN_CONTEXT_BINARY: pb.MODEL_TYPE_QNN_CONTEXT_BINARY,
}

CHECK_MB = 8000
"""Memory for that, in 10^6 bytes."""

FILES = 1000
"""Most files of a zipped model."""

_DTYPES = {name.removeprefix("TENSOR_DTYPE_").lower(): value for name, value in pb.TensorDtype.items()}


def exported(path: Path, record: pb.Model, shapes: Mapping[str, tuple[int, ...]]) -> Artifact:
    """Return an uploaded ONNX model, checked and pinned to one sample; with encodings it becomes QDQ.

    Args:
        path: the upload: an .onnx file, or a .zip file of a folder with one, and its weights or AIMET's encodings.
        record: what the client says of it.
        shapes: of inputs, as the client gives them.

    Raises:
        JobError: it is no ONNX model, or none that can be run.
    """
    from edge_pipeline.models.onnx_file import is_quantized, tensors

    if record.model_type not in (pb.MODEL_TYPE_ONNX, pb.MODEL_TYPE_AIMET_ONNX):
        known = {value: word.removeprefix("MODEL_TYPE_").lower() for word, value in pb.ModelType.items()}
        raise JobError(
            pb.JOB_FAILURE_TYPE_UNSUPPORTED,
            f"this hub takes ONNX models, float, QDQ or with AIMET's encodings; '{record.name}' is "
            f"{known.get(record.model_type, 'of a newer type')}",
        )
    content = _checked(path, record, shapes)
    inputs, outputs = tensors(content)
    interface = Interface(inputs=inputs, outputs=outputs, preprocessing=None, postprocessing=Raw())
    details = {"interface": interface.model_dump(mode="json"), "quantized": is_quantized(content)}
    return Artifact("exported", {"model.onnx": content}, {}, inputs, outputs, {}, details)


def as_it_is(source: Artifact, target: Target) -> Artifact:
    """Return an exported model as what ONNX Runtime loads, without compilation."""
    import onnxruntime

    from edge_pipeline.runtimes.base import compiled

    return compiled(source, target, "model.onnx", source.files, {"onnxruntime": onnxruntime.__version__})


def target_of(model: str, device: str, runtime: RuntimeName, quantized: bool) -> Target:
    """Return the target of a job; which integers a quantized model has is its own affair."""
    plain = Precision.FLOAT16 if runtime.npu else Precision.FLOAT
    return Target(model, device, runtime, Precision.MIXED if quantized else plain)


def with_output_names(source: Artifact, names: str) -> Artifact:
    """Return an exported model whose outputs have other names, which `names` lists with commas.

    Raises:
        JobError: there are not as many names as outputs, or a name is taken.
    """
    wanted = [one.strip() for one in names.split(",")]
    model = onnx.load_from_string(source.files["model.onnx"])
    graph = model.graph
    old = [value.name for value in graph.output]
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {one.name for one in graph.input}
    if len(wanted) != len(old) or len(set(wanted)) != len(wanted) or not all(wanted):
        raise JobError(
            pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT,
            f"--output_names {names[:200]}: the model has {len(old)} outputs, {', '.join(old)}; name each once",
        )
    clash = sorted(set(wanted) & (taken - set(old)))
    if clash:
        raise JobError(pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT, f"--output_names: '{clash[0]}' is another tensor's name")
    renamed = dict(zip(old, wanted, strict=True))
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [renamed.get(name, name) for name in side]
    for value in graph.output:
        value.name = renamed[value.name]
    outputs = tuple(TensorSpec(renamed[one.name], one.shape, one.dtype) for one in source.outputs)
    interface = Interface.model_validate({**source.details["interface"], "outputs": outputs})
    details = {**source.details, "interface": interface.model_dump(mode="json")}
    files = {"model.onnx": bytes(model.SerializeToString())}
    return Artifact("exported", files, {}, source.inputs, outputs, {}, details)


def download_of(artifact: Artifact, path: Path) -> bool:
    """Write what a client downloads of a compiled model; return whether it is a folder, zipped.

    An ONNX file with the binaries that it needs is such a folder, `model.onnx`.
    """
    if artifact.details["runtime"] != RuntimeName.PRECOMPILED_QNN_ONNX:
        path.write_bytes(artifact.files[artifact.details["model"]])
        return False
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in artifact.files.items():
            archive.writestr(f"model.onnx/{name}", content)
    return True


def types_of(specs: tuple[TensorSpec, ...]) -> pb.NamedTensorTypeList:
    """Return inputs or outputs in the words of the protocol."""
    found = pb.NamedTensorTypeList()
    for spec in specs:
        kind = pb.TensorType(shape=spec.shape, dtype=_DTYPES.get(spec.dtype, pb.TENSOR_DTYPE_UNSPECIFIED))
        found.types.add(name=spec.name, tensor_type=kind)
    return found


def note(record: pb.Model, artifact: Artifact, zipped: bool) -> None:
    """Write into the record of a model what became of it."""
    record.is_directory, record.file_upload_complete = zipped, True
    record.model_type = TYPES[RuntimeName(artifact.details["runtime"])]
    record.input_spec.CopyFrom(types_of(artifact.inputs))
    record.output_spec.CopyFrom(types_of(artifact.outputs))
    facts: dict[int, Any] = {
        pb.MODEL_METADATA_KEY_QAIRT_SDK_VERSION: artifact.details.get("qairt"),
        pb.MODEL_METADATA_KEY_QNN_CONTEXT_BIN_HEXAGON_VERSION: artifact.details.get("hexagon"),
        pb.MODEL_METADATA_KEY_QNN_CONTEXT_BIN_SOC_MODEL: artifact.details.get("soc_model"),
    }
    for key, value in facts.items():
        if value is not None:
            record.metadata.entries[key] = str(value)


def _checked(path: Path, record: pb.Model, shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return what `load_onnx` makes of an upload, in a process of its own.

    Raises:
        JobError: it finds something wrong, crashes, or takes too long.
    """
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as own:
        if record.is_directory:
            source = _unpacked(path, Path(name))
        elif record.model_type == pb.MODEL_TYPE_AIMET_ONNX:
            raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"'{record.name}' is no folder with encodings")
        else:
            source = Path(name) / "model.onnx"
            source.symlink_to(path.resolve())
        places = {key: Path(own) / key for key in ("request", "result", "problem")}
        encodings = str(_encodings(source, record)) if record.model_type == pb.MODEL_TYPE_AIMET_ONNX else ""
        request = {"source": str(source), "encodings": encodings, "shapes": shapes}
        request |= {key: str(place) for key, place in places.items()}
        places["request"].write_text(json.dumps(request))
        try:
            run_child(
                "edge_pipeline.hub.checking", [str(places["request"])], time_limit_s=CHECK_S, memory_limit_mb=CHECK_MB
            )
        except ChildError as error:
            raise JobError(
                pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"'{record.name}' cannot be loaded and run once: {error}"
            ) from error
        if places["problem"].is_file():
            said = places["problem"].read_text(encoding="utf-8").replace(f"{source.parent}/", "")
            raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"'{record.name}': {said}")
        return places["result"].read_bytes()


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack a zipped folder and return the only .onnx file in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > UNPACKED_BYTES:
                raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, "the zipped model is larger than 4 GiB")
            if len(archive.infolist()) > FILES:
                raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"the zipped model has more than {FILES} files")
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise JobError(pb.JOB_FAILURE_TYPE_MODEL_CORRUPT, f"the zipped model cannot be unpacked: {error}") from error
    found = [one for one in folder.rglob("*.onnx") if one.is_file()]
    if len(found) != 1:
        raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"the zipped model has {len(found)} .onnx files, not one")
    return found[0]


def _encodings(source: Path, record: pb.Model) -> Path:
    """Return AIMET's file beside an unpacked .onnx file."""
    found = sorted(source.parent.glob("*.encodings"))
    if len(found) != 1:
        raise JobError(
            pb.JOB_FAILURE_TYPE_MODEL_INVALID,
            f"'{record.name}' is a folder of AIMET's with {len(found)} .encodings files beside its .onnx file, not one",
        )
    return found[0]
