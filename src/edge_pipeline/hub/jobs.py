"""The jobs of a hub: taken from clients, done one after the other on each device, kept with their results."""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import (
    CompileError,
    DeviceError,
    EdgePipelineError,
    ModelError,
    StorageError,
    causes,
    suggest,
)
from edge_pipeline.core.files import write_atomically
from edge_pipeline.devices.inventory import BOARDS, DeviceSpec
from edge_pipeline.hub import models, options, work
from edge_pipeline.hub.devices import described
from edge_pipeline.hub.errors import JobError, RefusedError
from edge_pipeline.hub.store import Store, body

RESULT = "result.pb"
HERE = "this machine"
"""The lane of everything that computes here: compilations would disturb measurements."""

PATIENCE_S = 1.0

_DONE = (pb.JOB_STATE_DONE, pb.JOB_STATE_FAILED)
_WORK: dict[str, Callable[[work.Work], pb.JobResult]] = {
    "compile_job": work.compile_model,
    "quantize_job": work.quantize_model,
    "inference_job": work.run_model,
    "link_job": work.link_models,
}
_FAILURES: tuple[tuple[type[Exception], "pb.JobFailureType.ValueType"], ...] = (
    (ModelError, pb.JOB_FAILURE_TYPE_MODEL_INVALID),
    (CompileError, pb.JOB_FAILURE_TYPE_MODEL_UNKNOWN),
    (StorageError, pb.JOB_FAILURE_TYPE_RUNTIME_OUT_OF_DISK),
    (EdgePipelineError, pb.JOB_FAILURE_TYPE_RUNTIME_UNKNOWN),
)


class Jobs:
    """Takes jobs and works on them in threads, one for this machine and one for each board.

    Args:
        store: where they are kept.
        devices: those of devices.yml.
    """

    def __init__(self, store: Store, devices: Mapping[str, DeviceSpec]) -> None:
        self._store, self._devices = store, devices
        self._lanes: dict[str, queue.Queue[str]] = {}
        self._lock = threading.Lock()
        self._finished = threading.Condition()
        self._closing = False
        for name, job in store.all("jobs"):
            self._resume(name, job)

    def submit(self, job: pb.Job) -> pb.CreateUpdateResponse:
        """Keep a job, queue it, and return its id.

        Raises:
            RefusedError: it names a model, dataset or device that is not here, or is of a kind that is not done here.
        """
        kind = job.WhichOneof("job")
        if kind not in _WORK:
            known = "update the client: `pip install --upgrade qai-hub`" if kind else "the request holds no job"
            raise RefusedError(426 if kind else 400, f"this hub has no jobs of this kind; {known}")
        one = body(job)
        self._fill(kind, one)
        one.job_state = pb.JOB_STATE_CREATED
        one.creation_time.GetCurrentTime()
        if kind != "inference_job":
            seed = pb.Model(name=one.name, model_type=self._expected(kind, one), file_upload_complete=False)
            seed.creation_time.GetCurrentTime()
            self._store.add("models", seed)
            one.target_model.CopyFrom(seed)
        job.hub_version = "edge-pipeline"
        name = self._store.add("jobs", job)
        if kind != "inference_job":
            self._store.update("models", one.target_model.model_id, lambda record: setattr(record, "producer_id", name))
        self._queue(name, job)
        return pb.CreateUpdateResponse(id=name, creation_time=body(job).creation_time)

    def result(self, name: str) -> pb.JobResult:
        """Return the result of a job.

        Raises:
            RefusedError: there is no such job, or it has no result.
        """
        path = self._store.path("jobs", name, RESULT)
        if not path.is_file():
            raise RefusedError(404, f"the job '{name}' has no result")
        found = pb.JobResult()
        found.ParseFromString(path.read_bytes())
        return found

    def close(self) -> None:
        """Begin no more jobs and wait a moment for those at work; the next start calls the rest cut."""
        self._closing = True
        with self._finished:
            self._finished.notify_all()
        for lane in self._lanes.values():
            lane.put("")
        for thread in threading.enumerate():
            if thread.name in {self._thread(lane) for lane in self._lanes}:
                thread.join(PATIENCE_S)

    def _fill(self, kind: str, one: Any) -> None:
        """Replace what the client named by what is here."""
        if kind == "link_job":
            return
        one.model.CopyFrom(self._store.get("models", one.model.model_id))
        for field in ("dataset", "calibration_dataset"):
            if field in one.DESCRIPTOR.fields_by_name and getattr(one, field).dataset_id:
                name = getattr(one, field).dataset_id
                record = self._store.get("datasets", name)
                if not record.file_upload_complete:
                    raise RefusedError(400, f"the upload of the dataset '{name}' was never finished")
                getattr(one, field).CopyFrom(record)
        if kind == "compile_job":
            one.device.CopyFrom(one.devices.devices[0] if one.devices.devices else pb.Device())
        if kind == "quantize_job":
            if not one.calibration_dataset.dataset_id:
                raise RefusedError(400, "a quantize job needs a calibration dataset")
            return
        if one.device.name not in self._devices:
            hint = suggest(one.device.name, self._devices)
            raise RefusedError(400, f"this hub has no device '{one.device.name[:100]}'; {hint}")
        one.device.CopyFrom(described(one.device.name, self._devices[one.device.name]))

    def _expected(self, kind: str, one: Any) -> "pb.ModelType.ValueType":
        """Return the type of the model that a job will make, which clients ask before it is made."""
        if kind != "compile_job":
            return pb.MODEL_TYPE_ONNX
        try:
            chosen = options.parse(one.options, options.COMPILE)
            return models.TYPES[options.target_runtime(chosen, self._devices[one.device.name].engines)]
        except JobError:
            return pb.MODEL_TYPE_ONNX

    def _resume(self, name: str, job: pb.Job) -> None:
        if body(job).job_state == pb.JOB_STATE_CREATED:
            self._queue(name, job)
        elif body(job).job_state not in _DONE:
            stopped = JobError(
                pb.JOB_FAILURE_TYPE_INTERNAL_UNKNOWN, "the hub was stopped while this job ran; submit it again"
            )
            self._fail(name, stopped)

    def _queue(self, name: str, job: pb.Job) -> None:
        device = body(job).device.name if "device" in body(job).DESCRIPTOR.fields_by_name else ""
        spec = self._devices.get(device)
        lane = device if job.HasField("inference_job") and spec and spec.kind in BOARDS else HERE
        with self._lock:
            if lane not in self._lanes:
                self._lanes[lane] = queue.Queue()
                threading.Thread(target=self._serve, args=(lane,), name=self._thread(lane), daemon=True).start()
            self._lanes[lane].put(name)

    def _thread(self, lane: str) -> str:
        return f"hub {id(self)} {lane}"

    def _serve(self, lane: str) -> None:
        while True:
            name = self._lanes[lane].get()
            if self._closing:
                return
            self._do(name)

    def _do(self, name: str) -> None:
        """Do one job; whatever it raises is told to the client."""
        job = self._store.get("jobs", name)
        kind, one = str(job.WhichOneof("job")), body(job)

        def enter(state: "pb.JobState.ValueType") -> None:
            def change(message: pb.Job) -> None:
                body(message).job_state = state
                if not body(message).HasField("start_time"):
                    body(message).start_time.GetCurrentTime()

            self._store.update("jobs", name, change)

        try:
            if (
                "device" in one.DESCRIPTOR.fields_by_name
                and kind != "link_job"
                and one.device.name not in self._devices
            ):
                raise JobError(
                    pb.JOB_FAILURE_TYPE_UNSUPPORTED, f"the device '{one.device.name}' is no longer in devices.yml"
                )
            if kind != "link_job":
                self._await_producer(one.model)
            if self._closing:
                return
            self._check_room()
            result = _WORK[kind](work.Work(self._store, self._devices, name, one, enter))
            if self._closing:
                return
            write_atomically(self._store.path("jobs", name, RESULT), result.SerializeToString())
            self._store.update("jobs", name, lambda message: self._complete(name, message, result))
        except Exception as error:
            if self._closing:
                return
            self._fail(name, error)
        with self._finished:
            self._finished.notify_all()

    def _await_producer(self, model: pb.Model) -> None:
        """Wait until a model is made.

        Raises:
            JobError: it was not.
        """
        producer = model.producer_id
        if not producer:
            return
        maker = body(self._store.get("jobs", producer))
        with self._finished:
            while maker.job_state not in _DONE and not self._closing:
                self._finished.wait(1.0)
                maker = body(self._store.get("jobs", producer))
        if maker.job_state == pb.JOB_STATE_FAILED:
            raise JobError(
                pb.JOB_FAILURE_TYPE_RUNTIME_FAILED_DEPENDENCY,
                f"the job '{producer}', which makes the model, failed: {maker.failure_reason}",
            )

    def _check_room(self) -> None:
        """Refuse to make results that cannot be kept.

        Raises:
            JobError: the hub is full.
        """
        try:
            self._store.check_room(1)
        except RefusedError as error:
            raise JobError(pb.JOB_FAILURE_TYPE_RUNTIME_OUT_OF_DISK, str(error)) from error

    def _complete(self, name: str, message: pb.Job, result: pb.JobResult) -> None:
        one = body(message)
        one.job_state = pb.JOB_STATE_DONE
        one.completion_time.GetCurrentTime()
        message.failure_type = pb.JOB_FAILURE_TYPE_SUCCESS
        if "target_model" in one.DESCRIPTOR.fields_by_name:
            made = self._store.get("models", one.target_model.model_id)
            one.target_model.CopyFrom(made)
            if message.HasField("compile_job"):
                one.target_tensor_type_list.CopyFrom(made.input_spec)
        if message.HasField("inference_job"):
            one.tensor_type_list.CopyFrom(one.model.input_spec)
            detail = result.inference_job_result.detail
            if detail.all_execution_times:
                one.execution_time = detail.execution_time
                one.execution_peak_memory.CopyFrom(detail.execution_memory.peak)
        if self._store.path("jobs", name, work.LOG).is_file():
            message.available_artifacts.append(pb.JOB_ARTIFACT_TYPE_HUB_LOG)

    def _fail(self, name: str, error: Exception) -> None:
        known = isinstance(error, EdgePipelineError)
        if not known:
            logging.getLogger(__name__).error("job %s", name, exc_info=error)
        told = str(error) if known else f"a defect of the hub, whose log says more: {type(error).__name__}: {error}"

        def change(message: pb.Job) -> None:
            message.failure_type = _failure(error)
            body(message).job_state = pb.JOB_STATE_FAILED
            body(message).failure_reason = told
            body(message).completion_time.GetCurrentTime()

        try:
            self._store.update("jobs", name, change)
        except StorageError as problem:
            logging.getLogger(__name__).error("job %s: %s", name, problem)
            self._store.update("jobs", name, change, lasting=False)


def _failure(error: Exception) -> "pb.JobFailureType.ValueType":
    if isinstance(error, JobError):
        return error.kind
    if any(isinstance(one, DeviceError) and one.trouble == "timeout" for one in causes(error)):
        return pb.JOB_FAILURE_TYPE_RUNTIME_TIMEOUT
    return next((kind for cause, kind in _FAILURES if isinstance(error, cause)), pb.JOB_FAILURE_TYPE_INTERNAL_UNKNOWN)
