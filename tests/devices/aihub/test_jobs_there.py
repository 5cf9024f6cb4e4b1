"""Compile, profile and infer on a device of a hub, through the official client."""

from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from tests.devices.aihub.conftest import Hub, compile_there, infer, target

QUICK = ProfileSettings(warmup=1, images=4)


@pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.W8A8])
def test_outputs_are_exactly_those_of_this_machine(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any, precision: Precision
) -> None:
    artifact = compile_there(device, exported[precision], target(precision=precision))
    found = infer(device, artifact, tuple(one[:4] for one in images), tuple(one[4:] for one in images))
    host = connect(DeviceSpec(kind="host"))
    (expected,) = host.infer(artifact, [images], threads=1, time_limit_s=60, target="here")
    assert [len(one[0]) for one in found] == [4, 3]
    for index, values in enumerate(expected):
        np.testing.assert_array_equal(np.concatenate([one[index] for one in found]), values)
    assert expected[0].std() > 0
    assert len(hub.jobs()) == 2, "one to compile, one for both batches"


def test_the_artifact_is_one_like_every_other(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    source = exported[Precision.FLOAT]
    made = compile_there(device, source)
    assert made.kind == "compiled"
    assert made.parents == source.lineage
    assert (made.inputs, made.outputs) == (source.inputs, source.outputs)
    assert {key: made.details[key] for key in ("model", "runtime", "precision")} == {
        "model": "model.onnx",
        "runtime": "onnx",
        "precision": "float",
    }
    assert made.details["interface"] == source.details["interface"]
    told = made.details["hub"]
    assert told["page"] == f"{hub.address}/jobs/{told['job']}/"
    assert told["options"].startswith("--target_runtime onnx --output_names ")
    assert made.tools["qai-hub"] == "0.56.0"
    assert compile_there(device, source).hash == made.hash
    assert len(hub.jobs()) == 1, "the second time it was there already"


def test_a_profile_has_every_inference_time_and_our_percentiles(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any
) -> None:
    artifact = compile_there(device, exported[Precision.FLOAT])
    found = connect(device).profile(artifact, images, QUICK, "digits@cloud/onnx/float")
    (repeat,) = found.repeats
    (job,) = [one for one in hub.official().get_job_summaries() if "profile" in one.name]
    official = hub.official().get_job(job.job_id).download_profile()["execution_summary"]
    assert repeat.samples_ms == tuple(one / 1000 for one in official["all_inference_times"])
    assert len(repeat.samples_ms) >= 100
    assert found.metrics["latency_p50_ms"] == pytest.approx(np.percentile(repeat.samples_ms, 50))
    assert found.metrics["latency_p99_ms"] == pytest.approx(np.percentile(repeat.samples_ms, 99))
    assert found.metrics["latency_min_ms"] == official["estimated_inference_time"] / 1000
    assert found.metrics["load_ms"] == official["first_load_time"] / 1000
    assert found.metrics["warm_load_ms"] == official["warm_load_time"] / 1000
    assert found.metrics["peak_memory_mb"] == official["inference_memory_peak_range"][1] / 1e6
    assert 0 < found.metrics["model_memory_mb"] < found.metrics["peak_memory_mb"]
    assert not {"first_inference_ms", "latency_spread_pct", "power_mean_w", "energy_mj"} & set(found.metrics)
    assert {layer.compute_unit for layer in found.layers} == {"cpu"}
    assert all(layer.time_ms is not None for layer in found.layers)
    assert "onnxruntime" in found.runtime_version
    assert found.device["hub_device"] == "host"
    assert found.device["page"].endswith(f"/jobs/{job.job_id}/")


@pytest.mark.slow
def test_measuring_again_is_a_new_job_and_inference_of_the_same_is_not(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any
) -> None:
    artifact = compile_there(device, exported[Precision.FLOAT])
    for _ in range(2):
        connect(device).profile(artifact, images, QUICK, "digits@cloud/onnx/float")
        infer(device, artifact, images)
    kinds = [name.split()[1] for name in hub.jobs()]
    assert sorted(kinds) == ["compile", "inference", "profile", "profile"]
    assert hub.count("models") == 2, "the exported one and what was made of it; nothing was sent twice"


def test_tflite_is_made_there_and_runs_there(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any
) -> None:
    pytest.importorskip("litert_torch")
    artifact = compile_there(device, exported[Precision.FLOAT], target("tflite"))
    assert list(artifact.files) == ["model.tflite"]
    assert artifact.files["model.tflite"][4:8] == b"TFL3"
    (there,) = infer(device, artifact, images)
    (here,) = connect(DeviceSpec(kind="host")).infer(artifact, [images], threads=1, time_limit_s=60, target="here")
    np.testing.assert_array_equal(there[0], here[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "opened"), [("qnn_context_binary", "model.bin"), ("precompiled_qnn_onnx", "model.onnx")]
)
def test_npu_runtimes_are_made_for_a_device_chosen_by_its_chipset(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any, runtime: str, opened: str
) -> None:
    pytest.importorskip("onnxruntime_qnn")
    npu = device.model_copy(update={"hub_device": "chipset:qualcomm-qcs8550"})
    artifact = compile_there(npu, exported[Precision.W8A8], target(runtime, "w8a8"))
    assert artifact.details["model"] == opened
    assert len(artifact.files) == (1 if opened == "model.bin" else 2)
    assert artifact.details["hub"]["device"] == "npu"
    assert artifact.details["qairt"]
    (found,) = infer(npu, artifact, tuple(one[:2] for one in images))
    (host,) = connect(DeviceSpec(kind="host")).infer(
        compile_there(device, exported[Precision.W8A8], target(precision="w8a8")),
        [tuple(one[:2] for one in images)],
        threads=1,
        time_limit_s=60,
        target="here",
    )
    error = np.sum((found[0] - host[0]) ** 2)
    assert 10 * np.log10(np.sum(host[0] ** 2) / error) > 20
