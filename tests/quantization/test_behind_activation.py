"""Ranges of what an activation function takes: chosen by what comes out of it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout

weighing = pytest.mark.parametrize("scheme", ["tf_enhanced", "mse"])


@pytest.fixture
def wide() -> torch.Tensor:
    """A batch that a layer makes numbers from -20 to 20 of, as many below zero as above."""
    return torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def calibrated(one_thread: None, wide: torch.Tensor) -> Callable[..., Any]:
    """Return a function that calibrates a network, and returns the simulation."""

    def make(net: nn.Module, scheme: Any, batch: torch.Tensor = wide) -> Any:
        inputs = (torch.zeros(1, 8),)
        found = ptq.simulate(ptq.prepare(net, inputs, equalize=False), inputs, Layout(scheme=scheme))
        ptq.calibrate(found, [(batch,)])
        return found

    return make


def steep(activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.Linear(8, 16)
    with torch.no_grad():
        layer.weight.mul_(8)
    return nn.Sequential(layer, activation)


def range_of_sums(simulation: Any) -> tuple[float, float]:
    (quantizer,) = simulation.model.get_submodule("0").output_quantizers
    return quantizer.get_min().item(), quantizer.get_max().item()


@weighing
@pytest.mark.parametrize("activation", [nn.SiLU(), nn.Hardswish(), nn.GELU(), nn.Mish()])
def test_numbers_that_become_almost_nothing_get_few_integers(
    calibrated: Callable[..., Any], scheme: str, activation: nn.Module
) -> None:
    low, high = range_of_sums(calibrated(steep(activation), scheme))
    everything = range_of_sums(calibrated(steep(activation), "min_max"))
    assert everything[0] < -15 < 15 < everything[1]
    assert -9 < low < 0
    assert high > 0.8 * everything[1]


@weighing
@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid()])
def test_a_function_that_is_flat_on_both_sides_is_given_a_short_range(
    calibrated: Callable[..., Any], scheme: str, activation: nn.Module
) -> None:
    low, high = range_of_sums(calibrated(steep(activation), scheme))
    assert -9 < low < 0 < high < 9


@weighing
def test_the_outputs_are_closer_to_the_float_network_than_with_the_scheme_alone(
    calibrated: Callable[..., Any], wide: torch.Tensor, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = steep(nn.SiLU())
    with torch.no_grad():
        exact = net(wide)
        found = sqnr_db(exact, calibrated(net, scheme).model(wide))
        monkeypatch.setattr("edge_pipeline.quantization.behind_activation._FUNCTIONS", {})
        alone = sqnr_db(exact, calibrated(net, scheme).model(wide))
    assert found > alone + 0.5


@pytest.mark.parametrize("scheme", ["min_max", "percentile"])
def test_the_schemes_that_weigh_no_errors_keep_the_whole_range(calibrated: Callable[..., Any], scheme: str) -> None:
    assert range_of_sums(calibrated(steep(nn.SiLU()), scheme))[0] < -10


class ReadTwice(nn.Module):
    """Adds what the activation takes to what it makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.activation = steep(nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = self.layer(x)
        return self.activation(sums) + sums


@weighing
def test_numbers_that_are_read_elsewhere_too_keep_their_range(calibrated: Callable[..., Any], scheme: str) -> None:
    simulation = calibrated(ReadTwice(), scheme)
    (quantizer,) = simulation.model.get_submodule("layer").output_quantizers
    assert quantizer.get_min().item() < -10


class Joined(nn.Module):
    """Two layers of which a concatenation, and so one quantizer, is made before the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.activation = steep(nn.SiLU())
        self.other = steep(nn.SiLU())[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(torch.cat([self.one(x), self.other(x)], 1))


@weighing
def test_a_quantizer_that_several_tensors_share_is_left_alone(calibrated: Callable[..., Any], scheme: str) -> None:
    simulation = calibrated(Joined(), scheme)
    (quantizer,) = simulation.model.get_submodule("one").output_quantizers
    assert type(quantizer.encoding_analyzer).__name__ != "BehindActivation"


@weighing
@pytest.mark.parametrize("batch", [torch.zeros(50, 8), torch.full((50, 8), -3.0), torch.ones(1, 8) * 1e-6])
def test_numbers_without_any_spread_have_a_range(
    calibrated: Callable[..., Any], scheme: str, batch: torch.Tensor
) -> None:
    simulation = calibrated(steep(nn.SiLU()), scheme, batch)
    assert bool(torch.isfinite(simulation.model(batch)).all())
    low, high = range_of_sums(simulation)
    assert low <= 0 <= high
    assert low < high


def test_sixteen_bits_keep_what_eight_clip(one_thread: None, wide: torch.Tensor) -> None:
    inputs, net = (torch.zeros(1, 8),), steep(nn.SiLU())
    layout = Layout(activation_bits=16, scheme="mse")
    found = ptq.simulate(ptq.prepare(net, inputs, equalize=False), inputs, layout)
    ptq.calibrate(found, [(wide,)])
    with torch.no_grad():
        assert sqnr_db(net(wide), found.model(wide)) > 40
