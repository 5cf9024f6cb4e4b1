"""Compilations for the NPU and for LiteRT, through the client."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision
from tests.hub.conftest import run_here


@pytest.fixture(scope="session")
def quantized(exported: dict[Precision, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX model with AIMET's w8a8 quantizers."""
    path = tmp_path_factory.mktemp("quantized") / "digits.onnx"
    path.write_bytes(exported[Precision.W8A8].files["model.onnx"])
    return path


@pytest.fixture
def rows(exported: dict[Precision, Artifact]) -> list[Any]:
    from edge_pipeline.pipelines.references import references

    return list(references(exported[Precision.FLOAT]).inputs[0][:3, None])


@pytest.mark.slow
def test_a_model_of_aimet_runs_on_this_machine(client: Any, host: Any, quantized: Path, rows: list[Any]) -> None:
    target = client.submit_compile_job(str(quantized), device=host).get_target_model()
    (name,) = (one.name for one in run_output(quantized))
    ran = client.submit_inference_job(target, device=host, inputs={input_of(quantized): rows}, profile=False)
    found = np.stack(ran.download_output_data()[name])
    np.testing.assert_array_equal(found, np.stack(run_here(quantized, rows)[name]))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["qnn_context_binary", "precompiled_qnn_onnx"])
def test_the_emulated_npu_compiles_runs_and_tells_the_placement(
    client: Any, quantized: Path, rows: list[Any], tmp_path: Path, needs: Callable[[str], Any], engine: str
) -> None:
    import qai_hub

    needs("onnxruntime_qnn")
    npu = qai_hub.Device(attributes=["chipset:qualcomm-qcs8550"])
    job = client.submit_compile_job(str(quantized), device=npu, options=f"--target_runtime {engine}")
    assert job.wait(timeout=120).success, job.get_status().message
    target = job.get_target_model()
    downloaded = Path(target.download(str(tmp_path)))
    if engine == "qnn_context_binary":
        assert downloaded.suffix == ".bin" and downloaded.stat().st_size > 1000
    else:
        names = zipfile.ZipFile(downloaded).namelist()
        assert "model.onnx/model.onnx" in names and any(name.endswith(".bin") for name in names)
    known = client.get_model(target.model_id)
    assert known.metadata[qai_hub.ModelMetadataKey.QNN_CONTEXT_BIN_HEXAGON_VERSION] == "v73"

    (name,) = (one.name for one in run_output(quantized))
    ran = client.submit_inference_job(target, device=npu, inputs={input_of(quantized): rows}, profile=True)
    found = ran.download_output_data()
    assert found is not None, ran.get_status().message
    assert sqnr_db(np.stack(run_here(quantized, rows)[name]), np.stack(found[name])) > 24
    profile = ran.download_profile()
    assert {one["compute_unit"] for one in profile["execution_detail"]} == {"NPU"}
    assert profile["execution_summary"]["all_inference_times"] == [], "an emulator has no latency"
    assert profile["execution_summary"]["estimated_inference_time"] == 0


@pytest.mark.slow
def test_a_float_model_runs_on_litert(
    client: Any, host: Any, network: Path, images: list[Any], tmp_path: Path, needs: Callable[[str], Any]
) -> None:
    needs("litert_torch")
    job = client.submit_compile_job(str(network), device=host, options="--target_runtime tflite")
    assert job.wait(timeout=300).success, job.get_status().message
    assert Path(job.download_target_model(str(tmp_path))).read_bytes()[4:8] == b"TFL3"
    target = job.get_target_model()
    found = client.submit_inference_job(target, device=host, inputs={"image": images}).download_output_data()
    for name, values in run_here(network, images).items():
        assert sqnr_db(np.stack(values), np.stack(found[name])) > 80


def run_output(model: Path) -> Any:
    import onnx

    return onnx.load(str(model)).graph.output


def input_of(model: Path) -> str:
    import onnx

    return str(onnx.load(str(model)).graph.input[0].name)
