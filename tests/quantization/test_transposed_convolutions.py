from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edge_pipeline.quantization.rewrite import without_transposed_convolutions
from edge_pipeline.runtimes.session import open_session


@pytest.mark.parametrize("side", [2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_one_whose_windows_do_not_overlap_becomes_an_equal_convolution_and_shuffle(side: int, bias: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(5, 7, side, side, bias=bias))
    image = torch.randn(2, 5, 4, 6)
    expected = net(image)
    without_transposed_convolutions(net)
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in net.modules())
    assert net(image).shape == (2, 7, 4 * side, 6 * side)
    assert torch.allclose(net(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 4, 3, 2),
        nn.ConvTranspose2d(4, 4, 2, 2, padding=1),
        nn.ConvTranspose2d(4, 4, 2, 2, groups=2),
        nn.ConvTranspose2d(4, 4, 2, 2, dilation=2),
        nn.ConvTranspose2d(4, 4, (2, 3), (2, 3)),
        nn.ConvTranspose2d(4, 4, 2, 3),
        nn.ConvTranspose2d(4, 4, 2, 2, output_padding=1),
    ],
    ids=str,
)
def test_any_other_is_left_alone(layer: nn.ConvTranspose2d) -> None:
    net = nn.Sequential(layer)
    without_transposed_convolutions(net)
    assert net[0] is layer


def test_onnx_runtime_runs_it_on_integers(
    network: Callable[..., Any], simulate: Callable[..., Any], to_file: Callable[..., Any], pictures: torch.Tensor
) -> None:
    session = open_session("onnx", to_file(simulate(network("enlarging"), pictures), pictures), threads=1)
    types = [layer["type"] for layer in session.layers([pictures[:1].numpy()], 1)]
    assert types.count("QLinearConv") == 2
    assert types.count("ConvTranspose") == 1
