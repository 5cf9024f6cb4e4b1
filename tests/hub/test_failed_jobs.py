"""A job that cannot be done fails in the client's words, with a message that says what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from qai_hub import public_api_pb2 as pb

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.devices.inventory import DeviceSpec


def message(hub: Any, job: Any, kind: int) -> str:
    """Return why a job failed; `kind` is the failure type that it must have."""
    status = job.wait(timeout=60)
    assert status.failure
    found = pb.Job.FromString((hub.folder / "jobs" / job.job_id / "record.pb").read_bytes())
    assert found.failure_type == kind
    return str(status.message)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--target_runtim onnx", "'--target_runtim' is not supported by this hub; did you mean '--target_runtime'?"),
        ("--target_runtime onx", "--target_runtime onx is not known to this hub; did you mean 'onnx'?"),
        ("--target_runtime", "'--target_runtime' needs one value"),
        ("--target_runtime=onnx --target_runtime=onnx", "'--target_runtime' comes twice"),
        ("--output_names one", "the model has 2 outputs, scores, map; name each once"),
        ("--output_names one,flat", "'flat' is another tensor's name"),
        ("--quantize_io 'a", "cannot be read: No closing quotation"),
    ],
)
def test_a_wrong_option_is_named(hub: Any, client: Any, host: Any, network: Path, options: str, said: str) -> None:
    job = client.submit_compile_job(str(network), device=host, options=options)
    assert said in message(hub, job, pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT)
    assert job.get_target_shapes() is None


def test_a_runtime_that_the_device_lacks(hub: Any, client: Any, host: Any, network: Path) -> None:
    job = client.submit_compile_job(str(network), device=host, options="--target_runtime qnn_context_binary")
    said = message(hub, job, pb.JOB_FAILURE_TYPE_UNSUPPORTED)
    assert said.startswith(
        "the device 'host' runs onnx, tflite and has no `chip` in devices.yml; qnn_context_binary is"
    )


def test_a_device_that_does_not_run_the_model(hub: Any, client: Any, network: Path) -> None:
    import qai_hub

    job = client.submit_profile_job(str(network), device=qai_hub.Device("npu"))
    said = message(hub, job, pb.JOB_FAILURE_TYPE_UNSUPPORTED)
    assert said == (
        "the device 'npu' runs qnn_context_binary, precompiled_qnn_onnx; onnx is for other devices of this hub"
    )


def test_a_model_that_is_none(hub: Any, client: Any, host: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model at all")
    job = client.submit_compile_job(str(path), device=host)
    said = message(hub, job, pb.JOB_FAILURE_TYPE_MODEL_INVALID)
    assert said == "'broken.onnx': model.onnx is truncated or not an ONNX file; export it again"


def _endless(path: Path) -> None:
    """Write a model with a loop that does not end in a lifetime."""

    def tensor(name: str, kind: int = TensorProto.FLOAT, shape: tuple[int, ...] = (1, 2)) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    step = [helper.make_node("Neg", ["state"], ["next"]), helper.make_node("Identity", ["more"], ["again"])]
    given = [tensor("count", TensorProto.INT64, ()), tensor("more", TensorProto.BOOL, ()), tensor("state")]
    inside = helper.make_graph(step, "inside", given, [tensor("again", TensorProto.BOOL, ()), tensor("next")])
    times = helper.make_tensor("times", TensorProto.INT64, (), [2**62])
    loop = helper.make_node("Loop", ["times", "", "x"], ["y"], body=inside)
    graph = helper.make_graph([loop], "endless", [tensor("x")], [tensor("y")], [times])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def test_a_model_that_never_ends_does_not_hold_the_hub(
    hub: Any, client: Any, host: Any, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _endless(tmp_path / "endless.onnx")
    with monkeypatch.context() as patched:
        patched.setattr("edge_pipeline.hub.models.CHECK_S", 4.0)
        job = client.submit_compile_job(str(tmp_path / "endless.onnx"), device=host)
        said = message(hub, job, pb.JOB_FAILURE_TYPE_MODEL_INVALID)
    assert said == "'endless.onnx' cannot be loaded and run once: it was stopped after its time limit of 4 s"
    assert client.submit_compile_job(str(network), device=host).wait(timeout=60).success


def test_a_shape_that_is_not_the_models(hub: Any, client: Any, host: Any, network: Path) -> None:
    job = client.submit_compile_job(str(network), device=host, input_specs={"image": (1, 3, 9, 9)})
    said = message(hub, job, pb.JOB_FAILURE_TYPE_MODEL_INVALID)
    assert "has the shape (1, 3, 8, 8), the configuration says (1, 3, 9, 9)" in said


def test_a_job_whose_model_could_not_be_made(hub: Any, client: Any, host: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model at all")
    compiled = client.submit_compile_job(str(path), device=host)
    job = client.submit_profile_job(compiled.get_target_model(), device=host)
    said = message(hub, job, pb.JOB_FAILURE_TYPE_RUNTIME_FAILED_DEPENDENCY)
    assert said.startswith(f"the job '{compiled.job_id}', which makes the model, failed: 'broken.onnx': model.onnx is")
    assert job.download_profile() == {} and job.get_output_dataset() is None


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"picture": [np.zeros((1, 3, 8, 8), np.float32)]}, "has the tensors 'picture'; the model takes 'image'"),
        (
            {"image": [np.zeros((1, 3, 8, 9), np.float32)]},
            "float32 (1, 3, 8, 9) as sample 0 of 'image'; the model takes",
        ),
        ({"image": [np.zeros((1, 3, 8, 8), np.uint8)]}, "has uint8 (1, 3, 8, 8) as sample 0 of 'image'"),
    ],
)
def test_inputs_that_are_not_the_models(
    hub: Any, client: Any, host: Any, network: Path, inputs: Any, said: str
) -> None:
    job = client.submit_inference_job(str(network), device=host, inputs=inputs, profile=False)
    assert said in message(hub, job, pb.JOB_FAILURE_TYPE_INVALID_INPUTS)


def _no_hdf5(path: Path) -> None:
    path.write_bytes(b"text")


def _cut(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/0")
        group.attrs["order"], group.attrs["name"], group.attrs["batch_count"] = 0, "image", 2
        group["batch_0"] = np.zeros((1, 3, 8, 8), np.float32)


def _empty(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/0")
        group.attrs["order"], group.attrs["name"], group.attrs["batch_count"] = 0, "image", 0


def _outside(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("data/0")
        group.attrs["order"], group.attrs["name"], group.attrs["batch_count"] = 0, "image", 1
        secret = path.with_name("secret")
        secret.write_bytes(bytes(3 * 64 * 4))
        group.create_dataset("batch_0", (1, 3, 8, 8), np.float32, external=[(str(secret), 0, 3 * 64 * 4)])


def _linked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink(str(path.with_name("other.h5")), "/data")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_no_hdf5, "the dataset is damaged or no .h5 file"),
        (_cut, "the dataset lacks sample 1 of 'image'"),
        (_empty, "the dataset must have as many samples, one at least, for every tensor; it has {'image': 0}"),
        (_outside, "the dataset refers to another file, which this hub does not follow"),
        (_linked, "the dataset refers to another file, which this hub does not follow"),
    ],
)
def test_a_dataset_that_is_none_or_reaches_for_other_files(
    hub: Any, client: Any, host: Any, network: Path, tmp_path: Path, write: Any, said: str
) -> None:
    path = tmp_path / "inputs.h5"
    write(path)
    job = client.submit_inference_job(str(network), device=host, inputs=str(path), profile=False)
    assert said in message(hub, job, pb.JOB_FAILURE_TYPE_INVALID_INPUTS)


def test_fewer_inferences_than_this_hub_times(hub: Any, client: Any, host: Any, network: Path) -> None:
    job = client.submit_profile_job(str(network), device=host, options="--max_profiler_iterations 5")
    said = message(hub, job, pb.JOB_FAILURE_TYPE_INVALID_ARGUMENT)
    assert said == "--max_profiler_iterations 5: this hub times 100 inferences at least, 100000 at most"


def test_a_model_that_another_service_compiled(hub: Any, client: Any, host: Any) -> None:
    job = client.submit_profile_job(b"1234TFL3", device=host)
    assert "was not compiled by this hub" in message(hub, job, pb.JOB_FAILURE_TYPE_UNSUPPORTED)


def test_models_are_not_linked(hub: Any, client: Any, network: Path, tmp_path: Path) -> None:
    import qai_hub

    path = tmp_path / "model.dlc"
    path.write_bytes(b"dlc")
    job = client.submit_link_job([str(path)], device=qai_hub.Device("npu"))
    told = message(hub, job, pb.JOB_FAILURE_TYPE_UNSUPPORTED)
    assert told.startswith("this hub makes no DLC and links none: Qualcomm's converter")
    assert told.endswith("Compile each network for itself with --target_runtime qnn_context_binary")


def test_a_board_that_does_not_answer(start_hub: Any, network: Path, needs: Callable[[str], Any]) -> None:
    import qai_hub

    needs("asyncssh")
    board = DeviceSpec.model_validate({"kind": "ssh", "address": "edge@127.0.0.1:1", "retry": {"attempts": 1}})
    hub = start_hub(devices={"board": board})
    job = hub.client().submit_profile_job(str(network), device=qai_hub.Device("board"))
    said = message(hub, job, pb.JOB_FAILURE_TYPE_RUNTIME_UNKNOWN)
    assert "edge@127.0.0.1:1" in said


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (DeviceError("too slow", "timeout"), pb.JOB_FAILURE_TYPE_RUNTIME_TIMEOUT, "too slow"),
        (DeviceError("went away", "unreachable"), pb.JOB_FAILURE_TYPE_RUNTIME_UNKNOWN, "went away"),
        (CompileError("no such operator"), pb.JOB_FAILURE_TYPE_MODEL_UNKNOWN, "no such operator"),
        (
            KeyError("x"),
            pb.JOB_FAILURE_TYPE_INTERNAL_UNKNOWN,
            "a defect of the hub, whose log says more: KeyError: 'x'",
        ),
    ],
)
def test_errors_of_devices_and_compilers_have_a_failure_type(
    hub: Any,
    client: Any,
    host: Any,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: int,
    said: str,
) -> None:
    from edge_pipeline.devices.host import Host

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Host, "profile", fail)
    assert message(hub, client.submit_profile_job(str(network), device=host), kind) == said


def test_tflite_of_a_quantized_model_is_refused(
    hub: Any, client: Any, host: Any, network: Path, images: list[Any], tmp_path: Path
) -> None:
    import qai_hub

    int8 = qai_hub.QuantizeDtype.INT8
    quantized = client.submit_quantize_job(str(network), {"image": images}, int8, int8).get_target_model()
    job = client.submit_compile_job(quantized, device=host, options="--target_runtime tflite")
    assert "makes tflite of float ONNX models only" in message(hub, job, pb.JOB_FAILURE_TYPE_UNSUPPORTED)
    again = client.submit_quantize_job(quantized, {"image": images}, int8, int8)
    assert "is quantized already" in message(hub, again, pb.JOB_FAILURE_TYPE_MODEL_INVALID)


def test_a_hub_that_is_full_makes_no_results(start_hub: Any, network: Path) -> None:
    import qai_hub

    hub = start_hub(capacity_bytes=network.stat().st_size + 1200)
    client = hub.client()
    model = client.upload_model(str(network))
    (hub.folder / "models" / model.model_id / "more").write_bytes(bytes(2000))
    job = client.submit_compile_job(model, device=qai_hub.Device("host"))
    assert "MB do not fit: this hub holds" in message(hub, job, pb.JOB_FAILURE_TYPE_RUNTIME_OUT_OF_DISK)


def test_a_zipped_model_that_is_cut_off(hub: Any, client: Any, host: Any, network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut.onnx"
    folder.mkdir()
    onnx.save(onnx.load(str(network)), folder / "a.onnx")
    model = client.upload_model(str(folder))
    path = hub.folder / "models" / model.model_id / "file"
    path.write_bytes(path.read_bytes()[:100])
    job = client.submit_compile_job(model, device=host)
    assert "cannot be unpacked" in message(hub, job, pb.JOB_FAILURE_TYPE_MODEL_CORRUPT)
