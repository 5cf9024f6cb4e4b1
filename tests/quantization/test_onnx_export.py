from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from edge_pipeline.core.errors import ExportError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization.export import to_onnx


def run(model: bytes, images: Any) -> Any:
    """Run `model` as ONNX Runtime does by default, each image alone."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])


both = pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.W8A8])


@both
def test_the_file_passes_the_checker_and_has_the_agreed_names(
    exported: dict[Precision, Artifact], precision: Precision
) -> None:
    model = onnx.load_from_string(exported[precision].files["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert [tensor.name for tensor in model.graph.input] == ["image"]
    assert [tensor.name for tensor in model.graph.output] == ["logits"]


@pytest.mark.parametrize("opset", [17, 21])
def test_the_file_has_the_opset_asked_for(net: Any, spec: ModelSpec, opset: int) -> None:
    data = to_onnx(net, recipes.dummy_inputs(spec), ["image"], ["logits"], opset=opset, quantized=False)
    assert {entry.domain: entry.version for entry in onnx.load_from_string(data).opset_import}[""] == opset


def test_a_float_file_agrees_with_the_network(exported: dict[Precision, Artifact], net: Any, images: Any) -> None:
    with torch.no_grad():
        expected = net(torch.from_numpy(images))
    assert sqnr_db(expected, run(exported[Precision.FLOAT].files["model.onnx"], images)) > 100


def test_a_quantized_file_agrees_with_the_simulation_better_than_with_the_network(
    exported: dict[Precision, Artifact], sim: Any, net: Any, images: Any
) -> None:
    outputs = run(exported[Precision.W8A8].files["model.onnx"], images)
    with torch.no_grad():
        batch = torch.from_numpy(images)
        with_simulation, with_network = (sqnr_db(module(batch), outputs) for module in (sim.model, net))
    assert with_simulation > 25
    assert 20 < with_network < with_simulation


def test_every_weight_of_a_quantized_file_is_kept_as_eight_bit_integers(exported: dict[Precision, Artifact]) -> None:
    graph = onnx.load_from_string(exported[Precision.W8A8].files["model.onnx"]).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(layers) == 4
    for layer in layers:
        weight = producers[layer.input[1]]
        while weight.op_type == "Transpose":
            weight = producers[weight.input[0]]
        assert weight.op_type == "DequantizeLinear"
        assert constants[weight.input[0]].data_type == onnx.TensorProto.INT8


def test_a_quantized_file_quantizes_its_input_with_the_scale_of_the_simulation(
    exported: dict[Precision, Artifact], sim: Any
) -> None:
    graph = onnx.load_from_string(exported[Precision.W8A8].files["model.onnx"]).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (first,) = [node for node in graph.node if "image" in node.input]
    assert first.op_type == "QuantizeLinear"
    quantizer = next(m for n, m in sim.model.named_modules() if n.endswith("input_quantizers.0") and m is not None)
    assert constants[first.input[1]] == pytest.approx(quantizer.get_scale().item(), rel=1e-6)


def test_a_quantized_file_is_a_fraction_of_the_size(exported: dict[Precision, Artifact]) -> None:
    sizes = {precision: len(artifact.files["model.onnx"]) for precision, artifact in exported.items()}
    assert sizes[Precision.W8A8] < 0.4 * sizes[Precision.FLOAT]


def test_an_operator_without_onnx_form_is_refused_with_the_reason(spec: ModelSpec) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(ExportError, match=r"ONNX export failed: .*bessel"):
        to_onnx(Odd(), recipes.dummy_inputs(spec), ["image"], ["logits"], opset=17, quantized=False)
