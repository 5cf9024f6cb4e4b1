"""A device of a Hub: profile and infer are jobs there."""

import tempfile
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Profile, RuntimeName
from edge_pipeline.devices.agent.tensors import Tensors
from edge_pipeline.devices.aihub import hub, jobs, profiles, tensors, uploads
from edge_pipeline.devices.aihub.client import Client, GoneError
from edge_pipeline.devices.aihub.ledger import Ledger, key_of
from edge_pipeline.devices.settings import ProfileSettings

if TYPE_CHECKING:
    from edge_pipeline.devices.inventory import DeviceSpec


class AiHub:
    """Runs artifacts on a device of Qualcomm AI Hub, or of another server that speaks its protocol.

    Args:
        spec: entry of devices.yml.
    """

    def __init__(self, spec: "DeviceSpec") -> None:
        self._spec = spec

    def describe(self) -> dict[str, str]:
        """Name, operating system, chipset and version of the NPU, as the Hub tells.

        Raises:
            DeviceError: there is no token, or the Hub cannot be reached or has no such device.
        """
        client, _ = hub.connected(self._spec)
        return hub.facts(hub.chosen(client, self._spec))

    def profile(self, artifact: Artifact, inputs: Tensors, settings: ProfileSettings, target: str) -> Profile:
        """Let the Hub measure on real `inputs`, each (n, ...), in one process on the device.

        A result is fetched once: the next call measures again.

        Raises:
            DeviceError: the Hub cannot be reached or does not take the job, or the job fails.
        """
        from qai_hub import public_rest_api as rest

        options = f"--max_profiler_iterations {settings.min_inferences}"
        job = _Job(self._spec, artifact, target)
        name, key = job.run("profile", [inputs], options, settings.time_limit_s)
        result = job.client.ask(rest.get_job_results, name)
        found = profiles.profile(result.inference_job_result.detail, artifact, settings, target, job.told(name))
        jobs.forget(job.ledger, "profile", key)
        return found

    def infer(
        self, artifact: Artifact, batches: Iterable[Tensors], *, threads: int, time_limit_s: float, target: str
    ) -> Iterator[Tensors]:
        """Yield the outputs, each (n, ...), of each batch of inputs, each (n, ...).

        Batches are collected for jobs of `tensors.CHUNK_BYTES`. The Hub chooses the number of threads. The same
        inputs through the same model are not run, and paid for, again.

        Raises:
            DeviceError: the Hub cannot be reached or does not take a job, a job fails or takes too long.
        """
        job = _Job(self._spec, artifact, target)
        for chunk in tensors.chunks(batches, tensors.CHUNK_BYTES):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "outputs.h5"
                job.download(chunk, time_limit_s, path)
                try:
                    yield from tensors.read(path, artifact.outputs, [len(one[0]) for one in chunk])
                except DeviceError as error:
                    raise DeviceError(f"{target}: {error}") from error


class _Job:
    """What the jobs of one artifact on one device share."""

    def __init__(self, spec: "DeviceSpec", artifact: Artifact, target: str) -> None:
        self._artifact, self._target = artifact, target
        self._runtime = RuntimeName(artifact.details["runtime"])
        self.client: Client
        self.ledger: Ledger
        try:
            self.client, self.ledger = hub.connected(spec)
            self.device = hub.chosen(self.client, spec)
            hub.check_runtime(self.device, self._runtime)
        except DeviceError as error:
            raise DeviceError(f"{target}: {error}", error.trouble) from error

    def told(self, name: str) -> dict[str, str]:
        """Return what is written beside a profile."""
        return {**hub.facts(self.device), "job": name, "page": self.client.page(name), "qai-hub": version("qai-hub")}

    def run(self, kind: str, batches: list[Tensors], options: str, time_limit_s: float) -> tuple[str, str]:
        """Run a job that succeeds, and return its id and the key of its record."""
        from qai_hub import public_api_pb2 as pb

        specs = self._artifact.inputs
        try:
            for one in batches:
                tensors.check(one, specs)
            content = tensors.digest(batches, specs)
            model = uploads.model(self.client, self.ledger, self._artifact.files, self._runtime)
            data = uploads.dataset(self.client, self.ledger, content, lambda path: tensors.write(path, batches, specs))
        except DeviceError as error:
            raise DeviceError(f"{self._target}: {error}", error.trouble) from error
        where = [self.device.name, self.device.os]
        key = key_of(kind, uploads.content_key(self._artifact.files), content, where, options)

        def make(name: str) -> pb.Job:
            job = pb.InferenceJob(name=name, device=self.device, options=options, is_profiling_on=kind == "profile")
            job.model.model_id, job.dataset.dataset_id = model, data
            return pb.Job(inference_job=job)

        found, _ = jobs.run(self.client, self.ledger, kind, key, make, target=self._target, time_limit_s=time_limit_s)
        return found, key

    def download(self, batches: list[Tensors], time_limit_s: float, path: Path) -> None:
        """Write the outputs of a job to an .h5 file; where those of an old job have expired, run a new one."""
        for again in (True, False):
            name, key = self.run("inference", batches, "", time_limit_s)
            try:
                self._fetch(name, path)
                return
            except GoneError as error:
                if not again:
                    raise DeviceError(f"{self._target}: the outputs of the job {name} are gone: {error}") from error
                jobs.forget(self.ledger, "inference", key)

    def _fetch(self, name: str, path: Path) -> None:
        from qai_hub import public_rest_api as rest

        made = self.client.ask(rest.get_job_results, name).inference_job_result.output_dataset_id
        if not made:
            raise DeviceError(f"{self._target}: the job {name} has no outputs. Its page: {self.client.page(name)}")
        self.client.ask(rest.download_dataset, made, str(path), verbose=False)
