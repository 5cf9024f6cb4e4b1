"""Normalisation in the graph: the same network, but every engine takes bytes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Split, Target
from edge_pipeline.models.spec import ClassifierSpec, PreprocessingChanges
from edge_pipeline.pipelines.export.nodes import export
from edge_pipeline.pipelines.export.parameters import ExportParameters
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from edge_pipeline.pipelines.references import references
from edge_pipeline.runtimes.base import CompileSettings, runtime
from edge_pipeline.runtimes.chips import chip
from edge_pipeline.runtimes.qnn_options import QnnOptions


@pytest.fixture(scope="module")
def pixel_spec(spec: ClassifierSpec) -> ClassifierSpec:
    return spec.model_copy(update={"preprocessing": PreprocessingChanges(in_graph=True)})


@pytest.fixture(scope="module")
def of_pixels(
    pixel_spec: ClassifierSpec, small_split: Split, weights: Artifact, tmp_path_factory: Any
) -> dict[Precision, Artifact]:
    """What is exported of the network that was trained on normalised pictures."""
    given = QuantizeParameters(calibration_images=50, scheme="min_max")
    fixed: dict[str, Any] = {"hexagon": "v73", "high": "float", "spec": pixel_spec, "subject": "digits"}
    simulation = quantize(
        small_split, weights, tmp_path_factory.mktemp("ladder"), given, precision=Precision.W8A8, **fixed
    )
    found = {}
    for precision, source in ((Precision.FLOAT, weights), (Precision.W8A8, simulation)):
        found[precision] = export(
            small_split, weights, source, ExportParameters(), spec=pixel_spec, precision=precision, subject="digits"
        )
        assert isinstance(found[precision], Artifact), found[precision]
    return found


def test_the_network_takes_pixel_values_and_gives_the_same(
    of_pixels: dict[Precision, Artifact], exported: dict[Precision, Artifact]
) -> None:
    found, plain = references(of_pixels[Precision.FLOAT]), references(exported[Precision.FLOAT])
    np.testing.assert_allclose(found.inputs[0], 255 * plain.inputs[0], atol=1e-3)
    np.testing.assert_allclose(found.float[0], plain.float[0], atol=1e-3)


def test_a_pixel_value_is_its_own_integer(of_pixels: dict[Precision, Artifact]) -> None:
    import onnx

    graph = onnx.load_from_string(of_pixels[Precision.W8A8].files["model.onnx"]).graph
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    scale, zero = (
        float(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer if tensor.name in first.input[1:]
    )
    assert sorted((scale, zero)) == [0, 1]


def test_an_npu_takes_bytes(
    of_pixels: dict[Precision, Artifact], pixel_spec: ClassifierSpec, tmp_path: Path, needs: Any
) -> None:
    needs("onnxruntime_qnn")
    target = Target("digits", "npu", RuntimeName.QNN_CONTEXT_BINARY, Precision.W8A8)
    settings = CompileSettings(100, chip=chip("QCS8550"), qnn=QnnOptions(quantize_io=True))
    found = runtime(target.runtime).compile(of_pixels[Precision.W8A8], target, settings)
    (image,) = json.load(io.BytesIO(found.files["tensors.json"]))["inputs"]
    assert (image["dtype"], image["scale"], image["zero_point"]) == ("uint8", 1.0, 0)
