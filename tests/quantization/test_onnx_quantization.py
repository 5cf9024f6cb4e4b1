from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models.onnx_file import load_onnx, tensors
from edge_pipeline.quantization.onnx_ptq import QuantizedOnnx, quantize_onnx
from edge_pipeline.runtimes.onnx_session import OnnxSession


class Depthwise(nn.Module):
    """Two inputs, two outputs, depthwise convolution, ReLU6 and ReLU, pooling, concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.second = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.mix = nn.Sequential(
            nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(16, 8, 1)
        )
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mixed = self.mix(torch.cat([self.first(image), self.second(depth)], 1)).relu()
        return self.head(mixed.mean((2, 3))), mixed


def exported(net: nn.Module, inputs: dict[str, tuple[int, ...]], path: Path, **options: Any) -> bytes:
    net.train()
    with torch.no_grad():
        for _ in range(5):
            net(*(torch.rand(8, *shape[1:]) for shape in inputs.values()))
    ones = tuple(torch.rand(shape) for shape in inputs.values())
    torch.onnx.export(
        net.eval(), ones, str(path), dynamo=False, input_names=list(inputs), **{"opset_version": 17, **options}
    )
    return load_onnx(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = {"image": (1, 3, 24, 24), "depth": (1, 1, 24, 24)}
    return exported(Depthwise(), inputs, tmp_path_factory.mktemp("net") / "net.onnx", output_names=["scores", "map"])


def draw(model: bytes, count: int, seed: int = 0) -> Iterator[dict[str, NDArray[np.float32]]]:
    generator = np.random.default_rng(seed)
    for _ in range(count):
        yield {tensor.name: generator.random(tensor.shape, np.float32) for tensor in tensors(model)[0]}


@pytest.fixture(scope="module")
def quantized(model: bytes) -> QuantizedOnnx:
    return quantize_onnx(model, draw(model, 16), scheme="min_max", config="htp_v73")


def compared(model: bytes, found: QuantizedOnnx) -> tuple[list[float], list[float]]:
    """Agreement of every output: the simulation with the float model, ONNX Runtime with the simulation."""
    plain, integer = OnnxSession(model, threads=1), OnnxSession(found.model, threads=1)
    runs = [
        (plain.invoke(list(one.values())), found.simulate(one), integer.invoke(list(one.values())))
        for one in draw(model, 8, seed=1)
    ]
    against_float, against_sim = [], []
    for index in range(len(runs[0][0])):
        reference, sim, result = (np.stack([run[kind][index] for run in runs]) for kind in range(3))
        against_float.append(sqnr_db(reference, sim))
        against_sim.append(sqnr_db(sim, result))
    return against_float, against_sim


def test_onnx_runtime_agrees_with_the_simulation(model: bytes, quantized: QuantizedOnnx) -> None:
    against_float, against_sim = compared(model, quantized)
    assert all(25 < value < 100 for value in against_float)
    assert all(value > 35 for value in against_sim)


def test_all_layers_run_on_integers_and_activations_are_part_of_them(model: bytes, quantized: QuantizedOnnx) -> None:
    sample = next(draw(model, 1))
    kinds = [layer["type"] for layer in OnnxSession(quantized.model, threads=1).layers(list(sample.values()), 1)]
    assert kinds.count("QLinearConv") == 4
    assert "QGemm" in kinds
    assert not {"Conv", "FusedConv", "Gemm", "Clip", "Relu"} & set(kinds)


def test_names_and_shapes_of_inputs_and_outputs_stay(model: bytes, quantized: QuantizedOnnx) -> None:
    assert tensors(quantized.model) == tensors(model)


def test_weights_and_biases_are_stored_as_integers(quantized: QuantizedOnnx) -> None:
    graph = onnx.load_from_string(quantized.model).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 5
    assert all(stored[source[layer.input[1]]] == TensorProto.INT8 for layer in layers)
    assert all(stored[source[layer.input[2]]] == TensorProto.INT32 for layer in layers)


def test_encodings_are_of_eight_bits_with_positive_scales_weights_by_channel(quantized: QuantizedOnnx) -> None:
    assert all(entry["bitwidth"] in (8, 32) for entry in quantized.encodings.values())
    assert all(scale > 0 for entry in quantized.encodings.values() for scale in entry["scale"])
    assert {"image", "depth", "scores"} <= quantized.encodings.keys()
    assert sorted({len(entry["scale"]) for entry in quantized.encodings.values()} - {1}) == [5, 8, 16]


def test_the_other_scheme_works_too(model: bytes) -> None:
    against_float, against_sim = compared(
        model, quantize_onnx(model, draw(model, 16), scheme="tf_enhanced", config="htp_v73")
    )
    assert min(against_float) > 25
    assert min(against_sim) > 35


@pytest.mark.parametrize(("bits", "least", "rounding"), [((8, 16), 28, 60), ((4, 8), 12, 30), ((4, 16), 12, 60)])
def test_other_integers_than_those_of_eight_bits(
    model: bytes, bits: tuple[int, int], least: float, rounding: float
) -> None:
    found = quantize_onnx(model, draw(model, 16), scheme="min_max", config="htp_v73", bits=bits)
    against_float, against_sim = compared(model, found)
    assert min(against_float) > least
    assert min(against_sim) > rounding
    assert {entry["bitwidth"] for entry in found.encodings.values()} - {32} == set(bits)


def test_opsets_older_than_quantization_by_channel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    model = exported(net, {"image": (1, 3, 12, 12)}, tmp_path / "old.onnx", opset_version=11)
    found = quantize_onnx(model, draw(model, 8), scheme="min_max", config="htp_v73")
    assert compared(model, found)[1][0] > 35


def test_equalization_keeps_what_the_network_computes_and_helps_unequal_channels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)
    factors = torch.logspace(-2, 2, 8)
    with torch.no_grad():
        first.weight *= factors[:, None, None, None]
        first.bias *= factors
        second.weight /= factors[None, :, None, None]
    model = exported(nn.Sequential(first, nn.ReLU(), second), {"image": (1, 3, 12, 12)}, tmp_path / "u.onnx")
    plain, equalized = (
        compared(model, quantize_onnx(model, draw(model, 8), scheme="min_max", config="htp_v73", equalize=equalize))
        for equalize in (False, True)
    )
    assert equalized[0][0] > plain[0][0] + 10
    assert equalized[1][0] > 30


def test_equalization_leaves_relu6_networks_right(model: bytes) -> None:
    found = quantize_onnx(model, draw(model, 16), scheme="min_max", config="htp_v73", equalize=True)
    assert min(compared(model, found)[0]) > 25


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("scheme", ["min_max", "tf_enhanced"])
def test_a_sample_that_is_not_finite_is_refused(model: bytes, number: float, scheme: str) -> None:
    samples = list(draw(model, 3))
    samples[2]["image"][0, 1, 5, 5] = number
    with pytest.raises(QuantizationError, match="a calibration sample holds NaN or infinite values"):
        quantize_onnx(model, samples, scheme=scheme, config="htp_v73")


def test_an_output_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    made = helper.make_graph(
        [helper.make_node("Log", ["x"], ["y"], name="log")],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(QuantizationError, match="output is NaN or infinite on a calibration sample"):
        quantize_onnx(
            model.SerializeToString(), [{"x": np.full((1, 3), -1, np.float32)}], scheme="min_max", config="htp_v73"
        )


def test_no_samples_are_refused(model: bytes) -> None:
    with pytest.raises(QuantizationError, match=r"no samples; raise `quantize\.calibration_images`"):
        quantize_onnx(model, iter([]), scheme="min_max", config="htp_v73")


def test_a_sample_of_another_shape_is_refused(model: bytes) -> None:
    sample = {"image": np.zeros((1, 3, 8, 8), np.float32), "depth": np.zeros((1, 1, 24, 24), np.float32)}
    with pytest.raises(QuantizationError, match=r"cannot be calibrated: .*image"):
        quantize_onnx(model, [sample], scheme="min_max", config="htp_v73")


def test_a_quantized_model_is_not_quantized_again(model: bytes, quantized: QuantizedOnnx) -> None:
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize_onnx(quantized.model, draw(model, 2), scheme="min_max", config="htp_v73")


def test_a_model_that_aimet_cannot_simulate_is_refused_with_its_unusual_nodes(tmp_path: Path) -> None:
    made = helper.make_graph(
        [helper.make_node("Magic", ["x"], ["y"], name="the_trick", domain="my.ops")],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.ops", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9)
    with pytest.raises(QuantizationError, match=r"cannot be .*Magic 'the_trick'"):
        quantize_onnx(
            model.SerializeToString(), [{"x": np.zeros((1, 3), np.float32)}], scheme="min_max", config="htp_v73"
        )


def test_nothing_is_printed(model: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    quantize_onnx(model, draw(model, 2), scheme="min_max", config="htp_v73", equalize=True)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""
