"""The unmodified client uploads, compiles, profiles and infers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.hub.conftest import run_here


def test_the_devices_of_the_inventory_are_offered_with_their_attributes(client: Any) -> None:
    import qai_hub

    found = {one.name: one.attributes for one in client.get_devices()}
    assert found == {
        "host": ["framework:onnx", "framework:tflite", "os:linux", "kind:host"],
        "npu": [
            "framework:onnx",
            "framework:qnn",
            "os:linux",
            "vendor:qualcomm",
            "chipset:qualcomm-qcs8550",
            "hexagon:v73",
            "htp-supports-fp16:true",
            "kind:htp_emulator",
            "label:lab",
        ],
    }
    assert [one.name for one in client.get_devices(attributes=["framework:qnn", "hexagon:v73"])] == ["npu"]
    assert client.get_devices(attributes="hexagon:v68") == []
    assert [one.name for one in client.get_devices(name="host")] == ["host"]
    assert "ONNX Runtime" in {one.name for one in client.get_frameworks()}
    with pytest.raises(qai_hub.UserError, match="is not available"):
        client.submit_profile_job(b"1234TFL3", device=qai_hub.Device("hots"))


def test_compile_profile_and_infer_on_this_machine(
    client: Any, host: Any, network: Path, images: list[Any], tmp_path: Path
) -> None:
    job = client.submit_compile_job(str(network), device=host, name="small", options="--target_runtime onnx")
    assert job.wait().success, job.get_status().message
    assert job.get_target_shapes() == {"image": ((1, 3, 8, 8), "float32")}
    target = job.get_target_model()
    assert list(target.output_spec) == [None]
    assert [(one.name, one.shape) for one in target.output_spec[None]] == [("scores", (1, 5)), ("map", (1, 4, 8, 8))]
    downloaded = Path(target.download(str(tmp_path)))
    assert downloaded.name == "small.onnx"
    onnx.checker.check_model(str(downloaded))

    expected = run_here(network, images)
    ran = client.submit_inference_job(target, device=host, inputs={"image": images}, name="small run", profile=False)
    outputs = ran.download_output_data()
    assert list(outputs) == ["scores", "map"]
    for name, values in expected.items():
        assert [one.shape for one in outputs[name]] == [one.shape for one in values]
        np.testing.assert_allclose(np.stack(outputs[name]), np.stack(values), rtol=1e-5, atol=1e-6)
    assert ran.download_profile() == {}

    measured = client.submit_profile_job(target, device=host, options="--max_profiler_iterations 150")
    profile = measured.download_profile()
    summary = profile["execution_summary"]
    assert len(summary["all_inference_times"]) >= 2 * 150
    assert summary["estimated_inference_time"] == min(summary["all_inference_times"]) > 0
    assert max(summary["all_inference_times"]) < 1e6, "microseconds"
    assert summary["first_load_time"] > 0 and summary["warm_load_time"] > 0
    low, high = summary["inference_memory_peak_range"]
    assert 10e6 < low <= high < 2e9, "bytes"
    layers = profile["execution_detail"]
    assert {"Conv", "MatMul"} <= {one["type"].removeprefix("Fused") for one in layers}
    assert all(one["compute_unit"] == "CPU" and one["execution_time"] >= 0 for one in layers)
    assert measured.get_output_dataset() is None
    assert "onnxruntime" in Path(*measured.download_job_logs(str(tmp_path))).read_text()
    (brief,) = [one for one in client.get_job_summaries() if one.job_id == measured.job_id]
    assert brief.estimated_inference_time == summary["estimated_inference_time"]
    assert repr(measured) and repr(measured.download_results(str(tmp_path)))


def test_a_job_may_be_submitted_before_the_job_that_makes_its_model_is_done(
    client: Any, host: Any, network: Path, images: list[Any]
) -> None:
    target = client.submit_compile_job(str(network), device=host).get_target_model()
    ran = client.submit_inference_job(target, device=host, inputs={"image": images}, profile=False)
    np.testing.assert_allclose(
        np.stack(ran.download_output_data()["scores"]), np.stack(run_here(network, images)["scores"]), rtol=1e-5
    )


@pytest.mark.parametrize("bits", ["INT8", "INT16"])
def test_the_hub_quantizes_and_runs_the_quantized_model(
    client: Any, host: Any, network: Path, images: list[Any], tmp_path: Path, bits: str
) -> None:
    import qai_hub

    job = client.submit_quantize_job(
        str(network), {"image": images}, qai_hub.QuantizeDtype.INT8, getattr(qai_hub.QuantizeDtype, bits)
    )
    assert job.wait().success, job.get_status().message
    quantized = Path(job.download_target_model(str(tmp_path / "quantized.onnx")))
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(str(quantized)).graph.node}
    target = client.submit_compile_job(str(quantized), device=host).get_target_model()
    outputs = client.submit_inference_job(target, device=host, inputs={"image": images}).download_output_data()
    np.testing.assert_array_equal(np.stack(outputs["scores"]), np.stack(run_here(quantized, images)["scores"]))
    error = np.stack(outputs["scores"]) - np.stack(run_here(network, images)["scores"])
    assert 0 < np.abs(error).max() < 0.1


def test_an_uploaded_onnx_model_runs_as_it_is(client: Any, host: Any, network: Path, images: list[Any]) -> None:
    ran = client.submit_inference_job(str(network), device=host, inputs={"image": images}, profile=False)
    np.testing.assert_array_equal(
        np.stack(ran.download_output_data()["map"]), np.stack(run_here(network, images)["map"])
    )


def test_a_folder_with_weights_outside_the_onnx_file_is_taken(
    client: Any, host: Any, network: Path, images: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "outside.onnx"
    folder.mkdir()
    model = onnx.load(str(network))
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.data", size_threshold=0)
    assert (folder / "model.data").stat().st_size > 1000
    ran = client.submit_inference_job(str(folder), device=host, inputs={"image": images}, profile=False)
    np.testing.assert_array_equal(
        np.stack(ran.download_output_data()["map"]), np.stack(run_here(network, images)["map"])
    )


def test_outputs_take_the_names_that_are_asked_for(client: Any, host: Any, network: Path, images: list[Any]) -> None:
    job = client.submit_compile_job(str(network), device=host, options="--output_names logits,features")
    ran = client.submit_inference_job(job.get_target_model(), device=host, inputs={"image": images}, profile=False)
    outputs = ran.download_output_data()
    assert list(outputs) == ["logits", "features"]
    expected = run_here(network, images)
    for name, old in {"logits": "scores", "features": "map"}.items():
        np.testing.assert_allclose(np.stack(outputs[name]), np.stack(expected[old]), rtol=1e-5, atol=1e-6)


def test_a_job_is_found_again_by_its_name(client: Any, host: Any, network: Path) -> None:
    import qai_hub

    for name in ("first", "second"):
        client.submit_compile_job(str(network), device=host, name=name).wait()
    failed = client.submit_compile_job(str(network), device=host, name="third", options="--no_such 1")
    assert failed.wait().failure
    assert [one.name for one in client.get_job_summaries()] == ["third", "second", "first"]
    assert [one.name for one in client.get_job_summaries(offset=1, limit=1)] == ["second"]
    states = qai_hub.JobStatus.State
    assert [one.name for one in client.get_job_summaries(state=states.FAILED)] == ["third"]
    assert client.get_job_summaries(type=qai_hub.JobType.INFERENCE) == []
    found = next(one for one in client.get_job_summaries() if one.name == "first")
    assert client.get_job(found.job_id).get_target_model() is not None
    failed.set_name("renamed")
    assert client.get_job(failed.job_id).name == "renamed"
