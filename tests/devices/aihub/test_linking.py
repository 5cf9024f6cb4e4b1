"""Link jobs through the wire. Qualcomm's DLC converter and linker are in no package: stand-ins answer for them."""

import json
from typing import Any

import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.aihub.compiling import Wishes
from edge_pipeline.devices.aihub.joining import join_there
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub.faults import Fault
from tests.devices.aihub.conftest import Hub, compile_there, target

BINARY = target("qnn_context_binary", "w8a8")


@pytest.fixture
def npu(device: DeviceSpec) -> DeviceSpec:
    return device.model_copy(update={"hub_device": "npu"})


@pytest.fixture
def linker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub make DLCs that hold their source, and binaries that list what was linked."""
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.hub import jobs, models, options, work

    def keep(one: Any, content: bytes, kind: Any, source: Any) -> None:
        name = one.job.target_model.model_id
        one.store.path("models", name).write_bytes(content)

        def change(record: Any) -> None:
            record.file_upload_complete, record.model_type = True, kind
            record.metadata.entries[pb.MODEL_METADATA_KEY_QAIRT_SDK_VERSION] = "2.40.0"
            if source:
                record.input_spec.CopyFrom(models.types_of(source.inputs))
                record.output_spec.CopyFrom(models.types_of(source.outputs))

        one.store.update("models", name, change)

    def compile_model(one: Any) -> Any:
        if "--target_runtime qnn_dlc" not in one.job.options:
            return work.compile_model(one)
        source = models.exported(*work._upload(one), {})
        keep(one, one.job.model.model_id.encode(), pb.MODEL_TYPE_QNN_DLC, source)
        return pb.JobResult(compile_job_result=pb.CompileJobResult(compile_job_id=one.name))

    def link(one: Any) -> Any:
        one.enter(pb.JOB_STATE_LINKING_MODELS)
        linked = []
        for model in one.job.models.models:
            record = one.store.get("models", model.model_id)
            assert record.model_type == pb.MODEL_TYPE_QNN_DLC
            linked.append(one.store.path("models", model.model_id).read_text())
        told = {"models": linked, "device": one.job.device.name, "options": one.job.options}
        keep(one, json.dumps(told).encode(), pb.MODEL_TYPE_QNN_CONTEXT_BINARY, None)
        return pb.JobResult(link_job_result=pb.LinkJobResult(link_job_id=one.name))

    monkeypatch.setitem(jobs._WORK, "compile_job", compile_model)
    monkeypatch.setitem(jobs._WORK, "link_job", link)
    monkeypatch.setattr(options, "DLC", "")


@pytest.mark.usefixtures("linker")
def test_a_context_binary_is_linked_where_that_is_asked_for(
    hub: Hub, npu: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    hub.faults.add(Fault("POST /api/v1/jobs", None))
    hub.faults.add(Fault("POST /api/v1/jobs", 504, after=True))
    made = compile_there(npu, exported[Precision.W8A8], BINARY, link=True, link_options="--qnn_options x=1")
    told = json.loads(made.files["model.bin"])
    assert (told["device"], told["options"], len(told["models"])) == ("npu", "--qnn_options x=1", 1)
    about = made.details["hub"]
    assert about["options"].startswith("--target_runtime qnn_dlc --output_names ")
    assert about["link_page"] == f"{hub.address}/jobs/{about['link_job']}/" != about["page"]
    assert made.details["qairt"] == "2.40.0"
    assert [one.split()[1] for one in hub.jobs()] == ["link", "compile"], "one each, though answers were lost"
    again = compile_there(npu, exported[Precision.W8A8], BINARY, link=True, link_options="--qnn_options x=1")
    assert again.hash == made.hash
    assert len(hub.jobs()) == 2
    (brief,) = [one for one in hub.official().get_job_summaries() if "link" in one.name]
    assert brief.device_name == "npu"


@pytest.mark.usefixtures("linker")
def test_several_networks_become_one_binary(hub: Hub, npu: DeviceSpec, exported: dict[Precision, Artifact]) -> None:
    both = [exported[Precision.W8A8], exported[Precision.FLOAT]]
    found = join_there(npu, both, BINARY, Wishes(time_limit_s=60))
    assert len(set(json.loads(found.binary)["models"])) == 2
    assert found.parents == tuple(one.hash for one in both)
    assert found.qairt == "2.40.0"
    assert len(found.jobs) == len(hub.jobs()) == 3
    assert join_there(npu, both, BINARY, Wishes(time_limit_s=60)) == found
    assert len(hub.jobs()) == 3


@pytest.mark.usefixtures("linker")
def test_the_same_network_twice_is_refused(hub: Hub, npu: DeviceSpec, exported: dict[Precision, Artifact]) -> None:
    with pytest.raises(CompileError, match="each once"):
        join_there(npu, [exported[Precision.W8A8]] * 2, BINARY, Wishes(time_limit_s=60))


def test_our_own_hub_says_why_it_does_not_link(hub: Hub, npu: DeviceSpec, exported: dict[Precision, Artifact]) -> None:
    with pytest.raises(CompileError) as raised:
        compile_there(npu, exported[Precision.W8A8], BINARY, link=True)
    assert "failed on AI Hub (unsupported): this hub makes no DLC and links none" in str(raised.value)
    assert "--target_runtime qnn_context_binary" in str(raised.value)
