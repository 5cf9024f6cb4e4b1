"""AIMET's encodings make QDQ of the float model that they belong to."""

import json
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.quantization.onnx_ptq import quantize_with


@pytest.fixture(scope="module")
def known(exported: dict[Precision, Artifact]) -> tuple[bytes, dict[str, Any]]:
    pytest.importorskip("aimet_onnx")
    files = exported[Precision.W8A8].files
    return files["qairt.onnx"], json.loads(files["qairt.encodings"])


def outputs(model: bytes, images: Any) -> Any:
    from edge_pipeline.runtimes.session import open_session, run

    session = open_session("onnx", model, threads=1)
    return np.concatenate([run(session, [images[index : index + 1]])[0] for index in range(16)])


def test_it_is_exactly_the_qdq_export(known: Any, exported: dict[Precision, Artifact], images: Any) -> None:
    made = quantize_with(*known)
    expected = outputs(exported[Precision.W8A8].files["model.onnx"], images)
    np.testing.assert_array_equal(outputs(made, images), expected)
    assert np.abs(outputs(known[0], images) - expected).max() > 0, "the float model is another"


def test_the_older_version_is_read_too(sim: Any, images: Any, known: Any, exported: dict[Precision, Artifact]) -> None:
    import torch

    from edge_pipeline.quantization.export import to_encodings

    inputs = (torch.zeros(1, 1, 8, 8),)
    model, content = to_encodings(sim, inputs, ["image"], ["logits"], opset=17, version="1.0.0")
    assert json.loads(content)["version"] == "1.0.0"
    found, expected = outputs(quantize_with(model, json.loads(content)), images), outputs(quantize_with(*known), images)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"version": "0.6.1"}, "encodings of version '0.6.1' are not known; export them as 1.0.0 or 2.0.0"),
        ({}, "encodings of version 'None' are not known"),
        ({"version": "2.0.0", "encodings": []}, "another model's"),
        ({"version": "2.0.0", "encodings": [{"name": 1}]}, "damaged or another model's"),
        ({"version": "2.0.0"}, "damaged or another model's"),
    ],
)
def test_what_is_no_file_of_this_model_is_refused(known: Any, content: dict[str, Any], told: str) -> None:
    with pytest.raises(QuantizationError, match=told):
        quantize_with(known[0], content)


def test_encodings_of_another_network_are_refused(known: Any) -> None:
    model, content = known
    other = [{**one, "name": f"other_{one['name']}"} for one in content["encodings"]]
    with pytest.raises(QuantizationError, match="another model's"):
        quantize_with(model, {**content, "encodings": other})
