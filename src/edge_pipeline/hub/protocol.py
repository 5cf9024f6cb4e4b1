"""Which request is answered by what: the protocol of the `qai_hub` client, protobuf messages over HTTP."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qs

from qai_hub import public_api_pb2 as pb

from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub import devices
from edge_pipeline.hub.errors import RefusedError
from edge_pipeline.hub.jobs import Jobs
from edge_pipeline.hub.store import DIGEST, FILE, Store, body, created, new_dataset
from edge_pipeline.hub.summaries import summaries
from edge_pipeline.hub.tickets import ticket
from edge_pipeline.hub.work import LOG

PREFIX = "/api/v1/"
_EXTENSIONS = {
    pb.MODEL_TYPE_ONNX: ".onnx",
    pb.MODEL_TYPE_AIMET_ONNX: ".aimet",
    pb.MODEL_TYPE_TFLITE: ".tflite",
    pb.MODEL_TYPE_QNN_CONTEXT_BINARY: ".bin",
    pb.MODEL_TYPE_QNN_DLC: ".dlc",
}
_ENGINES = {"onnxruntime": "ONNX Runtime", "ai-edge-litert": "LiteRT", "onnxruntime-qnn": "QNN (ONNX Runtime)"}
_PROJECT = re.compile(r"projects/[^/]+/")
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Request:
    """A request whose token was checked.

    Attributes:
        base: address of this hub as the client has it, such as `http://127.0.0.1:8742`.
        query: what follows `?` in its address.
        content: its body.
    """

    base: str
    query: str
    content: bytes

    def values(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return parse_qs(self.query).get(name, [])

    def value(self, name: str) -> str:
        """Return the last value of a parameter, or nothing."""
        return (self.values(name) or [""])[-1]

    def number(self, name: str, otherwise: int) -> int:
        """Return a parameter that is a natural number.

        Raises:
            RefusedError: it is none.
        """
        text = self.value(name) or str(otherwise)
        if not text.isdecimal() or len(text) > 15:
            raise RefusedError(400, f"'{name}' must be a natural number, not '{text[:40]}'")
        return int(text)

    def message(self, kind: Any) -> Any:
        """Return the body as a protobuf message.

        Raises:
            RefusedError: it is none of this kind.
        """
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

        try:
            return kind.FromString(self.content)
        except DecodeError as error:
            raise RefusedError(400, f"the body is no protobuf message {kind.DESCRIPTOR.name}") from error


class Protocol:
    """Answers requests with protobuf messages.

    Args:
        store: models, datasets and jobs.
        jobs: takes new jobs.
        known: the devices of devices.yml.
        key: signs the addresses of files.
        largest: bytes that an upload may have.
    """

    def __init__(self, store: Store, jobs: Jobs, known: Mapping[str, DeviceSpec], key: str, largest: int) -> None:
        self._store, self._jobs, self._known, self._key, self._largest = store, jobs, known, key, largest
        self._routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("GET", "users/auth/user", self._user),
            ("GET", "frameworks", self._frameworks),
            ("GET", "devices", self._devices),
            ("POST", "models", self._new_model),
            ("GET", "models", self._list_models),
            ("GET", "models/ID", self._one("models")),
            ("GET", "models/ID/multipart_upload", self._model_upload),
            ("POST", "models/ID/multipart_upload", self._model_uploaded),
            ("GET", "models/ID/download", self._download("models")),
            ("POST", "datasets", self._new_dataset),
            ("GET", "datasets", self._list_datasets),
            ("GET", "datasets/ID", self._one("datasets")),
            ("PATCH", "datasets/ID", self._dataset_uploaded),
            ("GET", "datasets/ID/upload_url", self._dataset_upload),
            ("GET", "datasets/ID/download_data", self._download("datasets")),
            ("POST", "jobs", self._new_job),
            ("GET", "jobs", self._list_jobs),
            ("GET", "jobs/ID", self._one("jobs")),
            ("PATCH", "jobs/ID", self._rename_job),
            ("GET", "jobs/ID/result", lambda request, name: self._jobs.result(name)),
            ("GET", "jobs/ID/device_runs/WORD/artifact_list/WORD", self._artifacts),
            ("GET", "job_summaries", self._summaries),
        )

    def answer(self, method: str, path: str, request: Request) -> Any:
        """Return the message that answers a request.

        Raises:
            RefusedError: the request is wrong, or is none of the protocol.
        """
        plain = _PROJECT.sub("", path.removeprefix(PREFIX).strip("/"), count=1)
        elsewhere = False
        for verb, pattern, handler in self._routes:
            regex = pattern.replace("ID", "([a-z0-9]{1,20})").replace("WORD", "([a-z0-9]{1,10})")
            found = re.fullmatch(regex, plain) if path.startswith(PREFIX) else None
            if found and verb == method:
                return handler(request, *found.groups()[:1])
            elsewhere = elsewhere or bool(found)
        raise RefusedError(405 if elsewhere else 404, f"this hub has no {method} {path[:200]}")

    def _user(self, request: Request) -> Any:
        return pb.User(id=1, email="hub@localhost")

    def _frameworks(self, request: Request) -> Any:
        found = pb.FrameworkList()
        for package, name in _ENGINES.items():
            try:
                number = version(package)
            except PackageNotFoundError:
                continue
            found.frameworks.add(name=name, api_version=number, api_tags=["default", "latest"], full_version=number)
        return found

    def _devices(self, request: Request) -> Any:
        first = request.value("select").lower() == "true"
        return devices.chosen(
            self._known, request.value("name"), request.value("os"), request.values("attributes"), first
        )

    def _new_model(self, request: Request) -> Any:
        given = request.message(pb.Model)
        record = pb.Model(name=given.name, model_type=given.model_type, is_directory=given.is_directory)
        record.creation_time.GetCurrentTime()
        return pb.CreateUpdateResponse(id=self._store.add("models", record), creation_time=record.creation_time)

    def _new_dataset(self, request: Request) -> Any:
        given = request.message(pb.Dataset)
        record = new_dataset(given.name, given.permanent)
        answer = pb.CreateUpdateResponse(id=self._store.add("datasets", record), creation_time=record.creation_time)
        if record.HasField("expiration_time"):
            answer.expiration_time.CopyFrom(record.expiration_time)
        return answer

    def _one(self, kind: str) -> Callable[[Request, str], Any]:
        return lambda request, name: self._store.get(kind, name)

    def _list_models(self, request: Request) -> Any:
        producer = request.value("producer")
        found = [one for one in self._newest("models") if producer in ("", one.producer_id)]
        return pb.ModelList(models=self._page(request, found), total_query_count=len(found))

    def _list_datasets(self, request: Request) -> Any:
        found = self._newest("datasets")
        return pb.DatasetList(datasets=self._page(request, found), total_query_count=len(found))

    def _list_jobs(self, request: Request) -> Any:
        found = [self._store.get("jobs", self._id_of(one)) for one in self._chosen_jobs(request)]
        return pb.JobList(jobs=self._page(request, found), total_query_count=len(found))

    def _summaries(self, request: Request) -> Any:
        found = self._chosen_jobs(request)
        return pb.JobSummaryList(job_summaries=self._page(request, found), total_query_count=len(found))

    def _chosen_jobs(self, request: Request) -> list[pb.JobSummary]:
        states = request.value("state").split(",") if request.value("state") else []
        if not all(one.isdecimal() for one in states):
            raise RefusedError(400, "'state' must be numbers with commas between them")
        return summaries(self._store, {int(one) for one in states}, request.value("type"))

    def _id_of(self, summary: pb.JobSummary) -> str:
        return str(getattr(summary, summary.WhichOneof("job") or "compile_job_summary").job_id)

    def _newest(self, kind: str) -> list[Any]:
        return sorted((message for _, message in self._store.all(kind)), key=created, reverse=True)

    def _page(self, request: Request, found: list[Any]) -> list[Any]:
        start = request.number("offset", 0)
        return found[start : start + request.number("limit", 50)]

    def _check_size(self, request: Request) -> None:
        size = request.number("file_size", 0)
        if size > self._largest:
            raise RefusedError(
                413, f"{size / 1e6:.1f} MB are more than the {self._largest / 1e6:.1f} MB that this hub takes. "
            )
        self._store.check_room(size)

    def _address(self, request: Request, action: str, kind: str, name: str) -> str:
        return f"{request.base}/{ticket(self._key, action, kind, name)}"

    def _model_upload(self, request: Request, name: str) -> Any:
        self._check_new("models", name)
        self._check_size(request)
        urls = [self._address(request, "put", "models", name)]
        found = pb.FileMultipartUploadURL(urls=urls, upload_id=name, max_part_size=self._largest)
        return pb.FileUploadResponse(multipart_url=found) if request.value("supports_s3_credentials") else found

    def _model_uploaded(self, request: Request, name: str) -> Any:
        tags = [one.strip('"') for one in request.message(pb.FileMultipartUploadComplete).etags]
        arrived = self._store.path("models", name, DIGEST)
        if not arrived.is_file() or tags != [arrived.read_text()]:
            raise RefusedError(400, f"the file of the model '{name}' did not arrive whole; upload it again")
        return self._completed("models", name)

    def _dataset_upload(self, request: Request, name: str) -> Any:
        self._check_new("datasets", name)
        self._check_size(request)
        found = pb.FileUploadURL(url=self._address(request, "put", "datasets", name), file_field_name="file")
        return pb.FileUploadResponse(url=found) if request.value("supports_s3_credentials") else found

    def _dataset_uploaded(self, request: Request, name: str) -> Any:
        request.message(pb.Dataset)
        if not self._store.path("datasets", name).is_file():
            raise RefusedError(400, f"the file of the dataset '{name}' did not arrive; upload it again")
        return self._completed("datasets", name)

    def _completed(self, kind: str, name: str) -> Any:
        record = self._store.update(kind, name, lambda record: setattr(record, "file_upload_complete", True))
        return pb.CreateUpdateResponse(id=name, creation_time=record.creation_time)

    def _check_new(self, kind: str, name: str) -> None:
        if self._store.get(kind, name).file_upload_complete:
            raise RefusedError(409, f"the {kind[:-1]} '{name}' has its file already; make a new one")

    def _download(self, kind: str) -> Callable[[Request, str], Any]:
        def answer(request: Request, name: str) -> Any:
            record = self._store.get(kind, name)
            if not record.file_upload_complete:
                raise RefusedError(404, f"the {kind[:-1]} '{name}' has no file")
            found = pb.FileDownloadURL(
                url=self._address(request, "get", kind, name), filename=_file_name(kind, record, name)
            )
            return pb.FileDownloadResponse(url=found) if request.value("supports_s3_credentials") else found

        return answer

    def _new_job(self, request: Request) -> Any:
        return self._jobs.submit(request.message(pb.Job))

    def _rename_job(self, request: Request, name: str) -> Any:
        wanted = request.message(pb.JobPublicUpdate).name
        self._store.update("jobs", name, lambda job: setattr(body(job), "name", wanted))
        return pb.CreateUpdateResponse(id=name)

    def _artifacts(self, request: Request, name: str) -> Any:
        found = pb.NamedArtifactDownloadURLList()
        if self._store.path("jobs", name, LOG).is_file():
            found.artifacts.add(url=self._address(request, "get", "jobs", name), filename=f"{name}.log", name="log")
        return found


def file_of(kind: str) -> str:
    """Return the name of the file of a record that a ticket gives access to."""
    return LOG if kind == "jobs" else FILE


def _file_name(kind: str, record: Any, name: str) -> str:
    """Return the name that a client gives to a file, which never has a path in it."""
    if kind == "datasets":
        return f"{name}.h5"
    extension = _EXTENSIONS.get(record.model_type, "")
    stem = _SAFE.sub("_", record.name.removesuffix(extension))[:80].strip(".") or name
    return f"{stem}{extension}{'.zip' if record.is_directory else ''}"
