"""Statistics of batch norms, estimated again on quantized weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.bn_reestimation import reestimate_batch_norms
from edge_pipeline.quantization.layout import Layout

FOLDED = {"separable": ["first.0", "depthwise.0"], "branches": ["stem.0", "after.0"]}


class Batches(list[Any]):
    """Batches, again and again."""


@pytest.fixture
def made(network: Callable[..., Any], pictures: torch.Tensor) -> Callable[..., tuple[Any, Any]]:
    """Return a function that makes a calibrated simulation, and the network with its batch norms."""

    def make(net: Any, per_channel: bool = True) -> tuple[Any, Any]:
        inputs = (torch.zeros_like(pictures[:1]),)
        net = network(net) if isinstance(net, str) else net
        for one in net.modules():
            if isinstance(one, nn.BatchNorm2d):
                nn.init.uniform_(one.weight, 0.5, 2.0)
                nn.init.uniform_(one.bias, -1.0, 1.0)
        layout = Layout(4 if per_channel else 8, 16, scheme="min_max", per_channel=per_channel)
        found = ptq.simulate(ptq.prepare(net, inputs, equalize=False), inputs, layout)
        ptq.calibrate(found, [(pictures,)])
        return found, ptq.prepare(net, inputs, equalize=False, fold=False)

    return make


def integers(layer: Any) -> torch.Tensor:
    quantizer = layer.param_quantizers["weight"]
    return torch.round(quantizer(layer.weight) / quantizer.get_scale())


@pytest.mark.parametrize("name", list(FOLDED))
@torch.no_grad()
def test_the_integers_of_the_weights_stay(made: Any, pictures: torch.Tensor, name: str) -> None:
    simulation, unfolded = made(name)
    kept = {one: integers(simulation.model.get_submodule(one)) for one in FOLDED[name]}
    scales = {one: simulation.model.get_submodule(one).param_quantizers["weight"].get_scale() for one in kept}
    assert reestimate_batch_norms(simulation, unfolded, Batches([(pictures,)])) == FOLDED[name]
    for one, before in kept.items():
        layer = simulation.model.get_submodule(one)
        assert torch.equal(integers(layer), before)
        assert not torch.equal(layer.param_quantizers["weight"].get_scale(), scales[one])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("name", list(FOLDED))
@torch.no_grad()
def test_mean_and_deviation_of_the_outputs_are_those_of_the_norm(
    made: Any, pictures: torch.Tensor, name: str, per_channel: bool
) -> None:
    simulation, unfolded = made(name, per_channel)
    norms = dict(zip(FOLDED[name], (n for n in unfolded.modules() if isinstance(n, nn.BatchNorm2d)), strict=True))
    assert reestimate_batch_norms(simulation, unfolded, Batches([(pictures,)])) == FOLDED[name]
    ptq.calibrate(simulation, [(pictures,)])
    first = FOLDED[name][0]
    found = {}
    simulation.model.get_submodule(first).register_forward_hook(lambda _, __, out: found.update(out=out))
    simulation.model(pictures)
    deviation, mean = torch.std_mean(found["out"], (0, 2, 3))
    tolerance = 0.02 if per_channel else 0.1  # one range for the whole weight: its integers do change
    assert torch.allclose(mean, norms[first].bias, atol=tolerance)
    assert torch.allclose(deviation, norms[first].weight.abs(), rtol=tolerance, atol=tolerance)


def test_a_network_without_batch_norms_has_nothing_to_estimate(made: Any, pictures: torch.Tensor) -> None:
    simulation, unfolded = made(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval())
    before = {key: one.clone() for key, one in simulation.model.state_dict().items() if torch.is_tensor(one)}
    assert reestimate_batch_norms(simulation, unfolded, Batches([(pictures,)])) == []
    after = simulation.model.state_dict()
    assert all(torch.equal(one, after[key]) for key, one in before.items())
