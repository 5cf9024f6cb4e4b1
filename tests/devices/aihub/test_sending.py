"""What is sent: models and inputs, once by their content, and nothing that does not fit."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.aihub import tensors
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.hub.faults import Fault
from tests.devices.aihub.conftest import Hub, compile_there, infer, target


@pytest.fixture
def artifact(hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]) -> Artifact:
    return compile_there(device, exported[Precision.FLOAT])


@pytest.mark.slow
def test_a_dataset_that_expires_is_sent_again(hub: Hub, device: DeviceSpec, artifact: Artifact, images: Any) -> None:
    def profile() -> Any:
        return connect(device).profile(artifact, images, ProfileSettings(warmup=1), "digits@cloud/onnx/float")

    def inputs() -> list[str]:
        found = hub.official().get_datasets()
        return [one.dataset_id for one in found if one.name.startswith("edge-pipeline ") and not one.is_expired()]

    def expire(record: Any) -> None:
        record.permanent = False
        record.expiration_time.seconds = int(time.time()) + 60

    profile()
    first = inputs()
    profile()
    assert inputs() == first and len(first) == 1, "they were there"
    hub.change("datasets", expire)
    profile()
    assert len(set(inputs()) - set(first)) == 1


def test_outputs_that_are_gone_are_computed_again(
    hub: Hub, device: DeviceSpec, artifact: Artifact, images: Any
) -> None:
    (first,) = infer(device, artifact, images)
    hub.faults.add(Fault("GET .*download_data", 404))
    (second,) = infer(device, artifact, images)
    np.testing.assert_array_equal(first[0], second[0])
    assert [name.split()[1] for name in hub.jobs()].count("inference") == 2


def test_many_inputs_go_in_several_datasets_and_come_back_in_order(
    hub: Hub, device: DeviceSpec, artifact: Artifact, images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = infer(device, artifact, images)[0][0]
    before = len(hub.jobs())
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 4 * 8 * 8 * 4)
    batches = [tuple(one[i : i + 2] for one in images) for i in range(0, 7, 2)]
    found = infer(device, artifact, *batches)
    assert [len(one[0]) for one in found] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([one[0] for one in found]), whole)
    assert len(hub.jobs()) - before == 2


def test_a_download_that_is_cut_is_fetched_again(hub: Hub, device: DeviceSpec, artifact: Artifact, images: Any) -> None:
    hub.faults.add(Fault("GET /transfer/get/datasets", None, after=True))
    assert infer(device, artifact, images)[0][0].shape == (7, 10)
    assert hub.faults.take("GET", "/transfer/get/datasets") is None


@pytest.mark.parametrize("shape", [(7, 1, 8, 9), (7, 8, 8), (0, 1, 8, 8)])
def test_inputs_of_another_shape_are_refused_before_anything_is_sent(
    hub: Hub, device: DeviceSpec, artifact: Artifact, shape: tuple[int, ...]
) -> None:
    before = hub.count("datasets")
    with pytest.raises(
        DeviceError, match=r"digits@cloud/onnx/float: the inputs have the shapes .*the model takes"
    ) as e:
        infer(device, artifact, (np.zeros(shape, np.float32),))
    assert "(n, 1, 8, 8)" in str(e.value)
    with pytest.raises(DeviceError, match="the model takes"):
        infer(device, artifact, (np.zeros((7, 1, 8, 8), np.float32),) * 2)
    assert hub.count("datasets") == before


def test_a_dataset_for_other_names_fails_there_and_is_told(
    hub: Hub, device: DeviceSpec, artifact: Artifact, images: Any
) -> None:
    renamed = replace(artifact, inputs=(replace(artifact.inputs[0], name="other"),))
    with pytest.raises(DeviceError, match=r"failed on AI Hub \(invalid inputs\): .*What to do: the inputs are not"):
        infer(device, renamed, images)


@pytest.mark.parametrize("limits", [{"upload_bytes": 5000}])
def test_a_model_that_is_larger_than_the_hub_takes_is_told(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], limits: dict[str, int]
) -> None:
    with pytest.raises(CompileError, match=r"digits@cloud/onnx/float: .*status 413.*more than the 0.0 MB"):
        compile_there(device, exported[Precision.FLOAT])
    assert hub.jobs() == []


def test_a_runtime_that_the_device_does_not_have_is_told_before_anything_is_sent(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    with pytest.raises(CompileError) as raised:
        compile_there(device, exported[Precision.W8A8], target("qnn_context_binary", "w8a8"))
    told = str(raised.value)
    assert told.startswith("digits@cloud/qnn_context_binary/w8a8: 'host' of AI Hub does not run qnn_context_binary")
    assert "only onnx, tflite, precompiled_qnn_onnx" in told
    assert hub.count("models") == 0


def test_a_compiled_model_with_another_interface_is_refused(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    source = exported[Precision.FLOAT]
    wrong = replace(source, inputs=(replace(source.inputs[0], shape=(1, 8, 8, 1)),))
    with pytest.raises(CompileError, match=r"inputs of the compiled model are float32 \(1, 1, 8, 8\)"):
        compile_there(device, wrong)


def test_only_the_onnx_file_and_inputs_leave_this_machine(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any
) -> None:
    import h5py

    source = exported[Precision.FLOAT]
    artifact = compile_there(device, source)
    infer(device, artifact, images)
    sent = [(hub.folder / "models").glob("*/file"), (hub.folder / "datasets").glob("*/file")]
    models, datasets = ([one.read_bytes() for one in paths] for paths in sent)
    assert source.files["model.onnx"] in models
    assert set(models) <= {source.files["model.onnx"], *artifact.files.values()}
    assert len(datasets) == 2
    names = set()
    for path in (hub.folder / "datasets").glob("*/file"):
        with h5py.File(path) as file:
            names |= {group.attrs["name"] for group in file["data"].values()}
    assert names == {one.name for one in (*source.inputs, *source.outputs)}
