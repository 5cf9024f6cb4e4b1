"""The mean error of each layer's output is taken out."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.bias_correction import correct_biases
from edge_pipeline.quantization.layout import Layout, layers, quantizer_slots

NETWORKS = ["separable", "branches"]


@pytest.fixture
def pair(network: Callable[..., Any], pictures: torch.Tensor) -> Callable[..., tuple[Any, Any]]:
    """Return a function that makes a calibrated simulation and the float network of which it was made."""

    def make(name: str, weight_bits: int = 4, activation_bits: int = 8) -> tuple[Any, Any]:
        inputs = (torch.zeros_like(pictures[:1]),)
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        found = ptq.simulate(prepared, inputs, Layout(weight_bits, activation_bits, scheme="min_max"))
        ptq.calibrate(found, [(pictures,)])
        found.model.eval()
        return found, prepared

    return make


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_outputs_are_closer_to_the_float_network(pair: Any, pictures: torch.Tensor, name: str) -> None:
    simulation, prepared = pair(name)
    before = sqnr_db(prepared(pictures), simulation.model(pictures))
    correct_biases(simulation.model, prepared, [(pictures,)])
    assert sqnr_db(prepared(pictures), simulation.model(pictures)) > before


@torch.no_grad()
def test_a_biased_weight_error_is_taken_out(pair: Any, pictures: torch.Tensor) -> None:
    simulation, prepared = pair("separable", 8)
    layer = simulation.model.get_submodule("last")
    layer.weight.add_(0.1)  # the activations before are positive: every output grows
    before = sqnr_db(prepared(pictures), simulation.model(pictures))
    correct_biases(simulation.model, prepared, [(pictures,)])
    ptq.calibrate(simulation, [(pictures,)])
    assert sqnr_db(prepared(pictures), simulation.model(pictures)) > before + 6


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_the_mean_error_of_every_channel_vanishes(pair: Any, pictures: torch.Tensor, name: str) -> None:
    simulation, prepared = pair(name, 4, 16)

    def errors() -> torch.Tensor:
        found = {}
        for kind, model in (("float", prepared), ("sim", simulation.model)):
            layer = model.get_submodule("last")
            hook = layer.register_forward_hook(lambda _, __, out, kind=kind: found.update({kind: out}))
            model(pictures)
            hook.remove()
        return (found["float"] - found["sim"]).mean((0, 2, 3)).abs()

    before = errors()
    assert "last" in correct_biases(simulation.model, prepared, [(pictures,)])
    assert float(errors().max()) < 0.05 * float(before.max())


@torch.no_grad()
def test_means_of_several_batches_are_averaged(pair: Any, pictures: torch.Tensor) -> None:
    one, prepared = pair("separable", 8)
    other, _ = pair("separable", 8)
    correct_biases(one.model, prepared, [(pictures,)])
    correct_biases(other.model, prepared, [(part,) for part in pictures.split(8)])
    first, second = (sim.model.get_submodule("last").bias for sim in (one, other))
    assert torch.allclose(first, second, atol=0.01)


def test_quantizers_weights_and_the_float_network_stay(pair: Any, pictures: torch.Tensor) -> None:
    simulation, prepared = pair("branches")

    def slots() -> list[Any]:
        model = simulation.model
        return [
            holder[key]
            for name in layers(model)
            for part in model.get_submodule(name).modules()
            for holder, key in quantizer_slots(part)
        ]

    quantizers, state = slots(), copy.deepcopy(simulation.model.state_dict())
    wanted = prepared(pictures)
    correct_biases(simulation.model, prepared, [(pictures,)])
    assert [id(one) for one in slots()] == [id(one) for one in quantizers]
    after = simulation.model.state_dict()
    changed = {key for key, one in state.items() if torch.is_tensor(one) and not torch.equal(one, after[key])}
    assert changed
    assert all(key.endswith(".bias") for key in changed)
    assert torch.equal(prepared(pictures), wanted)
