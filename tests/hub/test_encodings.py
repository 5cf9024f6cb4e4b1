"""ONNX models with AIMET's encodings: the unmodified client sends them, the hub makes QDQ of them."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from tests.hub.conftest import run_here


@pytest.fixture
def folder(exported: dict[Precision, Artifact], tmp_path: Path) -> Path:
    found = tmp_path / "digits.aimet"
    found.mkdir()
    for ending in ("onnx", "encodings"):
        (found / f"model.{ending}").write_bytes(exported[Precision.W8A8].files[f"qairt.{ending}"])
    return found


@pytest.fixture
def pictures(exported: dict[Precision, Artifact]) -> list[Any]:
    from edge_pipeline.pipelines.references import references

    (inputs,) = references(exported[Precision.W8A8]).inputs
    return [inputs[index : index + 1] for index in range(6)]


@pytest.fixture(autouse=True)
def aimet(needs: Any) -> None:
    needs("aimet_onnx")


def test_outputs_are_exactly_those_of_the_qdq_file(
    client: Any, host: Any, folder: Path, pictures: list[Any], exported: dict[Precision, Artifact], tmp_path: Path
) -> None:
    job = client.submit_compile_job(str(folder), device=host, options="--target_runtime onnx")
    assert job.wait().success, job.get_status().message
    source = exported[Precision.W8A8]
    ran = client.submit_inference_job(
        job.get_target_model(), device=host, inputs={source.inputs[0].name: pictures}, profile=False
    )
    (found,) = ran.download_output_data().values()
    qdq = tmp_path / "qdq.onnx"
    qdq.write_bytes(source.files["model.onnx"])
    (expected,) = run_here(qdq, pictures).values()
    np.testing.assert_array_equal(np.stack(found), np.stack(expected))
    plain = tmp_path / "float.onnx"
    plain.write_bytes(source.files["qairt.onnx"])
    (unquantized,) = run_here(plain, pictures).values()
    assert np.abs(np.stack(found) - np.stack(unquantized)).max() > 0


def test_an_uploaded_folder_can_be_downloaded_again(client: Any, folder: Path, tmp_path: Path) -> None:
    model = client.upload_model(str(folder))
    back = Path(model.download(str(tmp_path / "back")))
    assert {one.suffix for one in back.rglob("*") if one.is_file()} == {".onnx", ".encodings"} or back.suffix == ".zip"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "cannot be read"),
        (b"[]", "are no JSON object"),
        (b'{"version": "0.6.1"}', "encodings of version '0.6.1' are not known"),
    ],
)
def test_encodings_that_are_not_those_of_the_model_are_refused(
    client: Any, host: Any, folder: Path, content: bytes, told: str
) -> None:
    (folder / "model.encodings").write_bytes(content)
    status = client.submit_compile_job(str(folder), device=host).wait()
    assert status.failure
    assert told in status.message
    assert "Traceback" not in status.message


def test_a_folder_of_aimets_without_encodings_is_refused(hub: Any, client: Any, host: Any, folder: Path) -> None:
    from qai_hub import public_api_pb2 as pb

    model = client.upload_model(str(folder))
    path = hub.folder / "models" / model.model_id / "file"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "model.onnx", "digits.aimet/model.onnx")
    assert hub.hub._store.get("models", model.model_id).model_type == pb.MODEL_TYPE_AIMET_ONNX
    status = client.submit_compile_job(model, device=host).wait()
    assert "is a folder of AIMET's with 0 .encodings files" in status.message
