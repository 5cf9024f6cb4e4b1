from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional as F

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models.onnx_file import load_onnx
from edge_pipeline.models.onnx_module import to_module


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(1, 4, 3, 1, 1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, image: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = F.silu(self.norm(torch.cat([self.first(image), self.second(depth)], 1)))
        return self.head(joined.mean((2, 3))), F.interpolate(joined, scale_factor=2.0, mode="bilinear")


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image.permute(0, 3, 1, 2)).relu().permute(0, 2, 3, 1)


class Shuffled(nn.Module):
    """Splits, joins and reorders channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x.chunk(2, 1)
        joined = torch.cat([self.conv(left), right], 1)
        n, c, h, w = joined.shape
        return joined.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)[:, :, 1:, ::2]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.query, self.value = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        weights = torch.softmax(self.query(y) @ y.transpose(1, 2) / 8**0.5, -1)
        return x + F.gelu(weights @ self.value(y))


class Arithmetic(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (1.0 - x) * 2.0 / (x + 1.5) + x**2.0
        return torch.cat([torch.maximum(y, x), y.clamp(min=0.4), torch.exp(-y).sqrt(), x.amax(1, keepdim=True)], 1)


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "two heads": (TwoHeads, ((1, 3, 16, 16), (1, 1, 8, 8))),
    "channels last": (ChannelsLast, ((1, 9, 7, 3),)),
    "shuffled": (Shuffled, ((1, 4, 8, 8),)),
    "attention": (Attention, ((1, 5, 8),)),
    "arithmetic": (Arithmetic, ((1, 2, 4, 4),)),
    "activations": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, groups=1),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Hardswish(),
            nn.LeakyReLU(0.2),
            nn.PReLU(8),
            nn.Sigmoid(),
            nn.Tanh(),
            nn.ELU(),
            nn.Hardsigmoid(),
        ),
        ((1, 3, 12, 12),),
    ),
    "pooling": (
        lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d(1)),
        ((1, 3, 15, 15),),
    ),
    "upsampling": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(3, 8, 3, 2, 1, output_padding=1),
            nn.PixelShuffle(2),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.ReflectionPad2d(2),
        ),
        ((1, 3, 6, 6),),
    ),
}


def outputs(net: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        found = net(*inputs)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("opset", [11, 13, 17])
def test_the_module_computes_what_was_exported_also_in_batches(tmp_path: Path, name: str, opset: int) -> None:
    torch.manual_seed(0)
    make, shapes = NETS[name]
    net, path = make().eval(), tmp_path / "net.onnx"
    ones = tuple(torch.rand(shape) for shape in shapes)
    torch.onnx.export(net, ones, str(path), dynamo=False, opset_version=opset)
    module = to_module(load_onnx(path))
    batch = tuple(torch.rand(3, *shape[1:]) for shape in shapes)
    for expected, found in zip(outputs(net, batch), outputs(module, batch), strict=True):
        assert expected.shape == found.shape
        assert sqnr_db(expected, found) > 80


@pytest.mark.parametrize("name", ["two heads", "shuffled", "upsampling"])
def test_files_of_pytorch_s_newer_exporter_convert_too(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    make, shapes = NETS[name]
    net, path = make().eval(), tmp_path / "net.onnx"
    ones = tuple(torch.rand(shape) for shape in shapes)
    torch.onnx.export(net, ones, str(path), dynamo=True, opset_version=20, external_data=False, verbose=False)
    for expected, found in zip(outputs(net, ones), outputs(to_module(load_onnx(path)), ones), strict=True):
        assert sqnr_db(expected, found) > 80


@pytest.mark.parametrize("name", ["two heads", "shuffled", "attention"])
def test_the_module_can_be_captured_and_exported_again(tmp_path: Path, name: str) -> None:
    make, shapes = NETS[name]
    path, again = tmp_path / "net.onnx", tmp_path / "again.onnx"
    ones = tuple(torch.rand(shape) for shape in shapes)
    torch.onnx.export(make().eval(), ones, str(path), dynamo=False, opset_version=17)
    module = to_module(load_onnx(path))
    captured = torch.export.export(module, ones).module()
    torch.onnx.export(module, ones, str(again), dynamo=False, opset_version=17)
    for expected, found, third in zip(
        outputs(module, ones), outputs(captured, ones), outputs(to_module(load_onnx(again)), ones), strict=True
    ):
        assert sqnr_db(expected, found) > 80
        assert sqnr_db(expected, third) > 80


def test_weights_of_one_conversion_load_into_another(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    torch.onnx.export(TwoHeads().eval(), tuple(map(torch.rand, NETS["two heads"][1])), str(path), dynamo=False)
    first, second = to_module(load_onnx(path)), to_module(load_onnx(path))
    assert first.state_dict().keys() == second.state_dict().keys()
    second.load_state_dict(first.state_dict())


def _model(tmp_path: Path, nodes: list[Any], shape: list[int], result: list[int], weights: list[Any]) -> bytes:
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "made.onnx").write_bytes(model.SerializeToString())
    return load_onnx(tmp_path / "made.onnx")


@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_that_other_frameworks_leave_to_the_runtime(tmp_path: Path, automatic: str, size: int) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2], auto_pad=automatic),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
    ]
    after = -(-((size - 2) // 2 if automatic == "VALID" else -(-size // 2)) // 2)
    model = _model(
        tmp_path, nodes, [1, 3, size, size], [1, 4, after, after], [onnx.numpy_helper.from_array(weight, "w")]
    )
    assert tuple(to_module(model)(torch.rand(2, 3, size, size)).shape) == (2, 4, after, after)


def test_an_operator_without_a_pytorch_form_is_named(tmp_path: Path) -> None:
    node = helper.make_node("LpNormalization", ["x"], ["y"], name="unit_length")
    with pytest.raises(ModelError, match="no PyTorch form here: LpNormalization 'unit_length'"):
        to_module(_model(tmp_path, [node], [1, 3], [1, 3], []))


def test_a_form_of_an_operator_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    node = helper.make_node("DepthToSpace", ["x"], ["y"], name="spread", blocksize=2, mode="DCR")
    with pytest.raises(ModelError, match=r"DepthToSpace 'spread' .* cannot be converted: its mode is 'DCR'"):
        to_module(_model(tmp_path, [node], [1, 8, 2, 2], [1, 2, 4, 4], []))


def test_a_conversion_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, 7, 7], np.int64), "sizes")
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="nearest", nearest_mode="ceil", name="enlarge"
    )
    with pytest.raises(ModelError, match=r"differs from ONNX Runtime in 'y': .* dB, at least 80 dB expected"):
        to_module(_model(tmp_path, [node], [1, 1, 4, 4], [1, 1, 7, 7], [sizes]))


def test_a_quantized_model_is_not_converted(tmp_path: Path) -> None:
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1])
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["y"]),
    ]
    with pytest.raises(ModelError, match="quantized already"):
        to_module(_model(tmp_path, nodes, [1, 3], [1, 3], [scale]))
