"""What a hub keeps when it ends, and how its jobs share the devices."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import StorageError
from edge_pipeline.devices.host import Host
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.hub.store import Store, body


def record(hub: Any, job: Any) -> Any:
    return body(pb.Job.FromString((hub.folder / "jobs" / job.job_id / "record.pb").read_bytes()))


def test_models_datasets_jobs_and_results_are_there_after_a_restart(
    start_hub: Any, network: Path, images: list[Any], tmp_path: Path
) -> None:
    import qai_hub

    first = start_hub()
    client, host = first.client(), qai_hub.Device("host")
    compiled = client.submit_compile_job(str(network), device=host, name="kept")
    ran = client.submit_inference_job(compiled.get_target_model(), device=host, inputs={"image": images}, profile=False)
    expected = ran.download_output_data()
    source = compiled.get_target_model().download(str(tmp_path / "first"))
    first.end()

    client = start_hub().client()
    assert [one.name for one in client.get_job_summaries()] == ["kept", "kept"]
    again = client.get_job(ran.job_id)
    assert {name: [one.tolist() for one in rows] for name, rows in again.download_output_data().items()} == {
        name: [one.tolist() for one in rows] for name, rows in expected.items()
    }
    model = client.get_job(compiled.job_id).get_target_model()
    assert Path(model.download(str(tmp_path / "second"))).read_bytes() == Path(source).read_bytes()
    assert client.submit_inference_job(model, device=host, inputs=again.inputs, profile=False).wait().success
    assert {one.dataset_id for one in client.get_datasets()} >= {again.inputs.dataset_id}


def test_a_waiting_job_is_done_after_a_restart_and_one_that_was_cut_says_so(
    start_hub: Any, network: Path, images: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import qai_hub

    entered, go_on = threading.Event(), threading.Event()
    true_profile = Host.profile

    def slow(*arguments: Any) -> Any:
        entered.set()
        go_on.wait(30)
        return true_profile(*arguments)

    monkeypatch.setattr(Host, "profile", slow)
    first = start_hub()
    client, host = first.client(), qai_hub.Device("host")
    running = client.submit_profile_job(str(network), device=host)
    waiting = client.submit_inference_job(str(network), device=host, inputs={"image": images}, profile=False)
    assert entered.wait(20)
    assert running.get_status().state is qai_hub.JobStatus.State.MEASURING_PERFORMANCE
    assert waiting.get_status().pending
    first.end()
    client = start_hub().client()
    status = client.get_job(running.job_id).wait(timeout=20)
    assert status.failure and status.message == "the hub was stopped while this job ran; submit it again"
    assert client.get_job(waiting.job_id).wait(timeout=20).success
    go_on.set()


def test_jobs_of_one_device_run_one_after_the_other(
    client: Any, hub: Any, host: Any, network: Path, images: list[Any]
) -> None:
    model = client.upload_model(str(network))
    data = client.upload_dataset({"image": images})
    jobs = [client.submit_inference_job(model, device=host, inputs=data, profile=False) for _ in range(3)]
    assert all(job.wait(timeout=60).success for job in jobs)
    records = [record(hub, job) for job in jobs]
    assert records[1].creation_time.ToNanoseconds() < records[0].completion_time.ToNanoseconds(), "they had to wait"
    times = [when.ToNanoseconds() for one in records for when in (one.start_time, one.completion_time)]
    assert times == sorted(times)


def test_boards_work_at_the_same_time(start_hub: Any, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two boards meet at a barrier, which they could not if one waited for the other."""
    import qai_hub

    from edge_pipeline.devices.retry import Retrying

    together = threading.Barrier(2)

    def meet(*_: Any) -> Any:
        together.wait(20)
        raise StorageError("met")

    monkeypatch.setattr(Retrying, "profile", meet)
    boards = {name: DeviceSpec(kind="ssh", address=f"edge@{name}") for name in ("one", "two")}
    client = start_hub(devices=boards).client()
    jobs = [client.submit_profile_job(str(network), device=qai_hub.Device(name)) for name in boards]
    assert [job.wait(timeout=30).message for job in jobs] == ["met", "met"]


def test_a_board_does_one_job_at_a_time(start_hub: Any, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qai_hub

    from edge_pipeline.devices.retry import Retrying

    free = threading.Semaphore(1)

    def alone(*_: Any) -> Any:
        found = free.acquire(blocking=False)
        time.sleep(0.3)
        free.release()
        raise StorageError("alone" if found else "not alone")

    monkeypatch.setattr(Retrying, "profile", alone)
    client = start_hub(devices={"one": DeviceSpec(kind="ssh", address="edge@one")}).client()
    jobs = [client.submit_profile_job(str(network), device=qai_hub.Device("one")) for _ in range(3)]
    assert [job.wait(timeout=30).message for job in jobs] == ["alone"] * 3


def test_datasets_are_deleted_when_their_time_is_over(start_hub: Any, images: list[Any]) -> None:
    first = start_hub()
    client = first.client()
    ids = {name: client.upload_dataset({"image": images}, name=name).dataset_id for name in ("old", "young", "kept")}
    first.end()
    for name in ("old", "kept"):
        path = first.folder / "datasets" / ids[name] / "record.pb"
        message = pb.Dataset.FromString(path.read_bytes())
        message.permanent = name == "kept"
        message.expiration_time.FromSeconds(1)
        path.write_bytes(message.SerializeToString())
    client = start_hub().client()
    assert {one.name for one in client.get_datasets()} == {"young", "kept"}
    assert not (first.folder / "datasets" / ids["old"]).exists()


def test_a_folder_has_one_hub(hub: Any) -> None:
    with pytest.raises(StorageError, match=f"another hub serves {hub.folder}"):
        Store(hub.folder, 1)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, 10**9)
    name = store.add("models", pb.Model(name="x"))
    store.close()
    (tmp_path / "models" / name / "record.pb").write_bytes(b"\xff")
    with pytest.raises(
        StorageError, match=rf"{name}/record.pb is damaged .*; delete its folder and start the hub again"
    ):
        Store(tmp_path, 10**9)


def test_a_device_that_left_the_inventory_fails_its_waiting_jobs(start_hub: Any, network: Path, tmp_path: Path) -> None:
    import qai_hub

    first = start_hub()
    job = first.client().submit_compile_job(str(network), device=qai_hub.Device("host"))
    job.wait()
    path = first.folder / "jobs" / job.job_id / "record.pb"
    first.end()
    message = pb.Job.FromString(path.read_bytes())
    body(message).job_state = pb.JOB_STATE_CREATED
    path.write_bytes(message.SerializeToString())
    client = start_hub(devices={"npu": DeviceSpec(kind="htp_emulator", chip="QCS8550")}).client()
    assert client.get_job(job.job_id).wait(timeout=20).message == "the device 'host' is no longer in devices.yml"
