"""What the jobs do: compile, quantize, run and profile, with the runtimes and devices of this package."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import EdgePipelineError
from edge_pipeline.core.interface import Interface
from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.datasets.kedro_io import ArtifactDataset
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.hub import models, options, profiles, tensors
from edge_pipeline.hub.errors import JobError
from edge_pipeline.hub.store import Store, new_dataset
from edge_pipeline.pipelines.validate.inference import batch_size
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.chips import chip

TIME_LIMIT_S = 600.0
"""For a compilation, a repeat of a measurement, and a batch of an inference."""

ARTIFACT, LOG = "artifact", "log"


@dataclass(frozen=True)
class Work:
    """One job at work.

    Attributes:
        store: where models and datasets are.
        devices: those of devices.yml.
        name: id of the job.
        job: its message.
        enter: tells the client of a new state.
    """

    store: Store
    devices: Mapping[str, DeviceSpec]
    name: str
    job: Any
    enter: Callable[["pb.JobState.ValueType"], None]


def compile_model(work: Work) -> pb.JobResult:
    """Compile an uploaded model for a device; the target model gets its files.

    Raises:
        EdgePipelineError: it cannot be compiled so.
    """
    work.enter(pb.JOB_STATE_OPTIMIZING_MODEL)
    device = work.job.device.name
    spec = work.devices[device]
    chosen = options.parse(work.job.options, options.COMPILE)
    wanted = options.target_runtime(chosen, spec.engines)
    if wanted not in spec.engines and not (wanted.npu and spec.chip):
        raise _not_run(device, spec, wanted)
    source = models.exported(*_upload(work), _shapes(work.job.tensor_type_list))
    if "--output_names" in chosen:
        source = models.with_output_names(source, chosen["--output_names"])
    quantized = source.details["quantized"]
    if wanted is RuntimeName.TFLITE:
        source = _with_program(source, quantized)
    target = models.target_of(work.job.name, device, wanted, quantized)
    settings = CompileSettings(TIME_LIMIT_S, chip=chip(spec.chip) if spec.chip else None)
    artifact = runtime(wanted).compile(source, target, settings)
    _keep(work, artifact)
    return pb.JobResult(compile_job_result=pb.CompileJobResult(compile_job_id=work.name))


def quantize_model(work: Work) -> pb.JobResult:
    """Quantize an uploaded float model with ONNX Runtime's static quantization, QDQ.

    Raises:
        EdgePipelineError: it cannot be quantized so.
    """
    from edge_pipeline.hub.quantizing import quantized

    work.enter(pb.JOB_STATE_QUANTIZING_MODEL)
    options.parse(work.job.options, ())
    source = models.exported(*_upload(work), {})
    if source.details["quantized"]:
        raise JobError(pb.JOB_FAILURE_TYPE_MODEL_INVALID, f"'{work.job.model.name}' is quantized already")
    data = work.store.path("datasets", work.job.calibration_dataset.dataset_id)
    samples = tensors.read(data, source.inputs, 1)
    content = quantized(source, samples, work.job.weights_dtype, work.job.activations_dtype)
    done = Artifact("exported", {"model.onnx": content}, {}, source.inputs, source.outputs, {}, source.details)
    target = models.target_of(work.job.name, "any", RuntimeName.ONNX, True)
    _keep(work, models.as_it_is(done, target))
    return pb.JobResult(quantize_job_result=pb.QuantizeJobResult(quantize_job_id=work.name))


def link_models(work: Work) -> pb.JobResult:
    """Refuse.

    Raises:
        JobError: always.
    """
    raise JobError(pb.JOB_FAILURE_TYPE_UNSUPPORTED, options.NO_LINKER)


def run_model(work: Work) -> pb.JobResult:
    """Profile a model on a device if that is asked for, and run it on a dataset if there is one.

    Raises:
        EdgePipelineError: the device cannot run it, or the dataset is another model's.
    """
    work.enter(pb.JOB_STATE_PROVISIONING_DEVICE)
    name = work.job.device.name
    spec = work.devices[name]
    least = ProfileSettings().min_inferences
    timed = options.iterations(options.parse(work.job.options, options.RUN), least)
    artifact = _artifact(work)
    engine = RuntimeName(artifact.details["runtime"])
    if engine not in spec.engines:
        raise _not_run(name, spec, engine)
    interface = Interface.model_validate(artifact.details["interface"])
    given = work.job.dataset.dataset_id
    data = work.store.path("datasets", given) if given else None
    if data:
        tensors.samples(data, interface.inputs)
    device, target = connect(spec), f"{work.job.name}@{name}/{engine}"
    result = pb.InferenceJobResult(inference_job_id=work.name)
    if work.job.is_profiling_on:
        work.enter(pb.JOB_STATE_MEASURING_PERFORMANCE)
        settings = ProfileSettings(min_inferences=timed, time_limit_s=TIME_LIMIT_S)
        inputs = next(tensors.read(data, interface.inputs, settings.images)) if data else _random(interface)
        profile = device.profile(artifact, inputs, settings, target)
        result.detail.CopyFrom(profiles.detail(profile))
        work.store.path("jobs", work.name, LOG).write_text(profiles.told(profile), encoding="utf-8")
    else:
        work.enter(pb.JOB_STATE_RUNNING_INFERENCE)
    if data:
        size = batch_size(interface)
        output = work.store.add("datasets", new_dataset(f"outputs of {work.job.name}"))
        path = work.store.path("datasets", output)
        counts: list[int] = []

        def batches() -> Any:
            for inputs in tensors.read(data, interface.inputs, size):
                counts.append(len(inputs[0]))
                yield inputs

        try:
            with tensors.Writer(path, [one.name for one in interface.outputs]) as writer:
                for outputs in device.infer(artifact, batches(), threads=1, time_limit_s=TIME_LIMIT_S, target=target):
                    writer.add(outputs, counts[-1])
        except BaseException:
            work.store.discard("datasets", output)
            raise
        work.store.update("datasets", output, _complete)
        result.output_dataset_id = output
    return pb.JobResult(inference_job_result=result)


def _upload(work: Work) -> tuple[Path, pb.Model]:
    """Return file and record of the model of a job, once they are there."""
    name = work.job.model.model_id
    record = work.store.get("models", name)
    if not record.file_upload_complete:
        raise JobError(
            pb.JOB_FAILURE_TYPE_RUNTIME_FAILED_DEPENDENCY, f"the upload of the model '{name}' was never finished"
        )
    return work.store.path("models", name), record


def _artifact(work: Work) -> Artifact:
    """Return what a device runs: what a job of this hub compiled, or an uploaded ONNX model as it is."""
    name = work.job.model.model_id
    path, record = _upload(work)
    if record.producer_id:
        found: Artifact = ArtifactDataset(str(work.store.path("models", name, ARTIFACT))).load()
        return found
    if record.model_type != pb.MODEL_TYPE_ONNX:
        raise JobError(
            pb.JOB_FAILURE_TYPE_UNSUPPORTED,
            f"'{record.name}' was not compiled by this hub, which runs its own models and ONNX models; submit a "
            "compile job with the ONNX model and run its target model",
        )
    source = models.exported(path, record, {})
    return models.as_it_is(
        source, models.target_of(record.name, work.job.device.name, RuntimeName.ONNX, source.details["quantized"])
    )


def _keep(work: Work, artifact: Artifact) -> None:
    """Keep a compiled model as the target model of its job."""
    name = work.job.target_model.model_id
    ArtifactDataset(str(work.store.path("models", name, ARTIFACT))).save(artifact)
    zipped = models.download_of(artifact, work.store.path("models", name))
    work.store.update("models", name, lambda record: models.note(record, artifact, zipped))


def _with_program(source: Artifact, quantized: bool) -> Artifact:
    """Return an exported model with the PyTorch program that LiteRT's converter takes."""
    import torch

    from edge_pipeline.models.onnx_module import to_module
    from edge_pipeline.quantization.export import to_program

    if quantized:
        raise JobError(
            pb.JOB_FAILURE_TYPE_UNSUPPORTED,
            "this hub makes tflite of float ONNX models only; compile the QDQ model with --target_runtime onnx, or "
            "let a pipeline of the project make the quantized tflite model",
        )
    module = to_module(source.files["model.onnx"])
    program = to_program(module, tuple(torch.zeros(one.shape) for one in source.inputs), quantized=False)
    files = {**source.files, "model.pt2": program}
    return Artifact("exported", files, {}, source.inputs, source.outputs, {}, source.details)


def _shapes(given: pb.NamedTensorTypeList) -> dict[str, tuple[int, ...]]:
    for one in given.types:
        if one.tensor_type.dtype != pb.TENSOR_DTYPE_FLOAT32:
            raise JobError(
                pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT, f"input_specs: '{one.name[:100]}' must be float32 on this hub"
            )
    return {one.name: tuple(one.tensor_type.shape) for one in given.types}


def _random(interface: Interface) -> tensors.Tensors:
    generator = np.random.default_rng(0)
    return tuple(generator.random(one.shape, dtype=np.float32) for one in interface.inputs)


def _complete(record: pb.Dataset) -> None:
    record.file_upload_complete = True


def _not_run(device: str, spec: DeviceSpec, wanted: RuntimeName) -> EdgePipelineError:
    engines = ", ".join(spec.engines)
    chipless = " and has no `chip` in devices.yml" if wanted.npu and not spec.chip else ""
    return JobError(
        pb.JOB_FAILURE_TYPE_UNSUPPORTED,
        f"the device '{device}' runs {engines}{chipless}; {wanted} is for other devices of this hub",
    )
