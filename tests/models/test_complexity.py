import time

import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models.complexity import complexity
from edge_pipeline.models.efficientnet_lite import EfficientNetLite0
from edge_pipeline.models.ffnet import DEPTHS, FFNet

PUBLISHED_PARAMETERS = {"ffnet_40s": 13.9e6, "ffnet_54s": 18.0e6, "ffnet_78s": 27.5e6}
"""Qualcomm AI Hub Models, "Number of parameters"."""


@pytest.mark.parametrize("name", DEPTHS)
def test_the_segmentation_networks_have_the_published_size(name: str) -> None:
    with torch.device("meta"):
        net = FFNet(DEPTHS[name], (1024, 2048), classes=19)
    start = time.perf_counter()
    parameters, _ = complexity(net, (torch.empty(1, 3, 1024, 2048, device="meta"),))
    assert parameters == pytest.approx(PUBLISHED_PARAMETERS[name], rel=0.004)
    assert time.perf_counter() - start < 5


def test_the_smallest_costs_about_63_billion_multiply_adds() -> None:
    with torch.device("meta"):
        net = FFNet(DEPTHS["ffnet_40s"], (1024, 2048), classes=19)
    _, multiply_adds = complexity(net, (torch.empty(1, 3, 1024, 2048, device="meta"),))
    assert multiply_adds == pytest.approx(62.8e9, rel=0.02)


@pytest.mark.parametrize("name", DEPTHS)
def test_multiply_adds_are_those_of_every_convolution(name: str) -> None:
    net = FFNet(DEPTHS[name], (96, 128), classes=5).eval()
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += module.weight.numel() * output.shape[2] * output.shape[3]

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, 96, 128))
    for module in net.modules():
        module._forward_hooks.clear()
    assert complexity(net, (torch.zeros(1, 3, 96, 128),))[1] == total


def test_the_classifier_has_the_published_parameters_and_multiply_adds() -> None:
    parameters, multiply_adds = complexity(EfficientNetLite0(3, 1000), (torch.zeros(1, 3, 224, 224),))
    assert parameters == 4_652_008
    assert multiply_adds == pytest.approx(0.4e9, rel=0.05)


def test_layers_are_counted_by_hand() -> None:
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
    net = nn.Sequential(conv, nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 5 * 4, 7))
    parameters, multiply_adds = complexity(net, (torch.zeros(2, 4, 9, 8),))
    assert parameters == 6 * 2 * 9 + 6 + 2 * 6 + 6 * 5 * 4 * 7 + 7
    assert multiply_adds == 2 * (6 * 5 * 4 * 2 * 9 + 6 * 5 * 4 * 7)


def test_counting_changes_nothing() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    net[1].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    complexity(net, (torch.ones(4, 1, 8, 8),))
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_tensors_that_are_no_parameters_may_be_used() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1, bias=False)
            self.scale = torch.full((1, 1, 4, 4), 2.0)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.conv(x) * self.scale, y + self.scale

    assert complexity(Scaled(), (torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))) == (1, 16)


def test_a_network_that_looks_at_values_is_refused() -> None:
    class Looking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(ModelError, match="multiply-adds of Looking cannot be counted"):
        complexity(Looking(), (torch.zeros(3),))
