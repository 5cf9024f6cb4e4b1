"""What a client may not use up: memory, disk, and the patience of others."""

import zipfile
from pathlib import Path
from typing import Any

import onnx
import pytest
import requests

from edge_pipeline.core.errors import StorageError


def address_of(hub: Any, kind: str = "models") -> str:
    """Return where the file of a new record is put."""
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.hub.tickets import ticket

    record = pb.Model(name="m", model_type=pb.MODEL_TYPE_ONNX)
    return f"{hub.address}/{ticket(hub.token, 'put', kind, hub.hub._store.add(kind, record))}"


def test_an_upload_of_unknown_length_is_refused(hub: Any) -> None:
    answer = requests.put(address_of(hub), data=iter([b"a" * 1000] * 3), timeout=10)
    assert answer.status_code == 411
    assert "must say how long it is" in answer.text
    assert not list(hub.folder.glob("models/*/file*"))


def test_a_file_that_is_gone_is_told(hub: Any, client: Any, network: Path) -> None:
    from edge_pipeline.hub.tickets import ticket

    model = client.upload_model(str(network))
    (hub.folder / "models" / model.model_id / "file").unlink()
    answer = requests.get(f"{hub.address}/{ticket(hub.token, 'get', 'models', model.model_id)}", timeout=10)
    assert (answer.status_code, answer.json()["detail"]) == (404, f"the model '{model.model_id}' has no file")


def test_inputs_too_large_for_this_machine_fail_their_job_alone(
    client: Any, host: Any, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.hub import models

    monkeypatch.setattr(models, "CHECK_MB", 1500)
    model = onnx.load(str(network))
    del model.graph.node[2:], model.graph.output[0]
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis, name in ((2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, tmp_path / "any.onnx")
    huge = {"image": ((1, 3, 30000, 30000), "float32")}
    failed = client.submit_compile_job(str(tmp_path / "any.onnx"), device=host, input_specs=huge).wait()
    assert failed.failure
    assert "Unable to allocate" in failed.message
    assert client.submit_compile_job(str(network), device=host).wait().success


@pytest.mark.parametrize("place", ["/etc/hostname", "../../token"])
def test_weights_outside_the_uploaded_folder_are_not_read(
    client: Any, host: Any, network: Path, tmp_path: Path, place: str
) -> None:
    model = onnx.load(str(network))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    folder = tmp_path / "outside.onnx"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "model.data").write_bytes(b"1234")
    failed = client.submit_compile_job(str(folder), device=host).wait()
    assert failed.failure
    assert "weights" in failed.message


def test_a_folder_of_countless_files_is_not_unpacked(hub: Any, client: Any, host: Any, network: Path) -> None:
    model = client.upload_model(str(network))
    with zipfile.ZipFile(hub.folder / "models" / model.model_id / "file", "w") as archive:
        archive.write(network, "many.onnx/model.onnx")
        for index in range(1000):
            archive.writestr(f"many.onnx/{index}", b"")
    hub.hub._store.update("models", model.model_id, lambda record: setattr(record, "is_directory", True))
    failed = client.submit_compile_job(model, device=host).wait()
    assert "has more than 1000 files" in failed.message


def test_a_run_that_fails_leaves_no_half_of_its_outputs(
    hub: Any, client: Any, host: Any, network: Path, images: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.core.errors import DeviceError
    from edge_pipeline.devices.host import Host

    def breaks(*_: Any, **__: Any) -> Any:
        raise DeviceError("the device fell off the desk")

    monkeypatch.setattr(Host, "infer", breaks)
    ran = client.submit_inference_job(str(network), device=host, inputs={"image": images}, profile=False)
    assert "fell off the desk" in ran.wait().message
    assert len(hub.hub._store.all("datasets")) == len(list(hub.folder.glob("datasets/*"))) == 1, "the inputs"


def test_a_disk_that_takes_nothing_more_fails_the_job_and_not_the_hub(
    hub: Any, client: Any, host: Any, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_pipeline.hub import store

    full, write = [True], store.write_atomically

    def refuses(path: Path, data: bytes) -> None:
        if full[0] and "jobs" in path.parts and path.exists():
            raise StorageError(f"{path} cannot be written: no space left")
        write(path, data)

    monkeypatch.setattr(store, "write_atomically", refuses)
    failed = client.submit_compile_job(str(network), device=host).wait()
    assert failed.failure
    assert "no space left" in failed.message
    full[0] = False
    assert client.submit_compile_job(str(network), device=host).wait().success, "the hub still works"
