"""ONNX Runtime gives what the simulation gives, and computes on integers."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest
import torch

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.runtimes.session import open_session

Make = Callable[..., Any]
every = pytest.mark.parametrize("name", ["branches", "separable", "several"])
FLOAT_LAYERS = {"Conv", "Gemm", "MatMul", "Relu", "Clip", "Sigmoid", "Mul", "Add", "Concat", "MaxPool"}


def samples(name: str, pictures: torch.Tensor, others: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (pictures, others) if name == "several" else (pictures,)


@every
def test_outputs_agree_with_the_simulation(
    network: Make, simulate: Make, to_file: Make, outputs_of: Make, pictures: Any, others: Any, name: str
) -> None:
    given = samples(name, pictures, others)
    simulation = simulate(network(name), *given)
    expected = outputs_of(simulation.model, *given)
    found = outputs_of(to_file(simulation, *given), *given)
    assert len(found) == (12 if name == "several" else 1)
    assert all(sqnr_db(one, other) > 30 for one, other in zip(expected, found, strict=True))


@every
def test_no_layer_runs_in_float(
    network: Make, simulate: Make, to_file: Make, pictures: Any, others: Any, name: str
) -> None:
    given = samples(name, pictures, others)
    session = open_session("onnx", to_file(simulate(network(name), *given), *given), threads=1)
    types = {layer["type"] for layer in session.layers([one[:1].numpy() for one in given], 1)}
    assert "QLinearConv" in types
    assert not types & FLOAT_LAYERS


@every
def test_every_bias_has_the_scale_of_its_input_times_that_of_its_weight(
    network: Make, simulate: Make, to_file: Make, bias_errors: Make, pictures: Any, others: Any, name: str
) -> None:
    given = samples(name, pictures, others)
    errors = bias_errors(to_file(simulate(network(name), *given), *given))
    assert len(errors) >= 3
    assert max(errors.values()) < 1e-4


def test_inputs_and_outputs_have_the_names_and_the_order_asked_for(
    network: Make, simulate: Make, to_file: Make, pictures: Any, others: Any
) -> None:
    graph = onnx.load_from_string(to_file(simulate(network("several"), pictures, others), pictures, others)).graph
    assert [tensor.name for tensor in graph.input] == ["in_0", "in_1"]
    assert [tensor.name for tensor in graph.output] == [f"out_{i}" for i in range(12)]


def test_channel_ranges_of_a_network_with_two_inputs_can_be_equalized(
    network: Make, simulate: Make, outputs_of: Make, pictures: Any, others: Any
) -> None:
    net = network("several")
    simulation = simulate(net, pictures, others, equalize=True)
    pairs = zip(outputs_of(net, pictures, others), outputs_of(simulation.model, pictures, others), strict=True)
    assert all(sqnr_db(one, other) > 30 for one, other in pairs)
