"""Ranges of 4-bit weights, chosen by the error of the layers' outputs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.quantization.seq_mse import seq_mse

Make = Callable[..., Any]


@pytest.fixture
def make(network: Make, pictures: torch.Tensor) -> Make:
    inputs = (torch.zeros_like(pictures[:1]),)

    def build(name: str, weight_bits: int, overrides: Any = None) -> tuple[Any, Any]:
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        return ptq.simulate(prepared, inputs, Layout(weight_bits, 8, overrides or {}, "min_max")), prepared

    return build


@pytest.mark.parametrize("name", ["separable", "branches"])
def test_the_outputs_are_closer_than_with_the_widest_range(make: Make, pictures: torch.Tensor, name: str) -> None:
    found = {}
    for chosen in (False, True):
        simulation, prepared = make(name, 4)
        if chosen:
            seq_mse(simulation, [(part,) for part in pictures.split(8)], 10)
        ptq.calibrate(simulation, [(pictures,)])
        with torch.no_grad():
            found[chosen] = sqnr_db(prepared(pictures), simulation.model(pictures))
    assert found[True] > found[False] - 0.1, found


def test_calibration_leaves_the_chosen_ranges(make: Make, pictures: torch.Tensor) -> None:
    simulation, _ = make("separable", 4)
    seq_mse(simulation, [(pictures,)], 5)
    quantizers = [simulation.model.get_submodule(n).param_quantizers["weight"] for n in ("first.0", "last")]
    before = [one.get_max().clone() for one in quantizers]
    ptq.calibrate(simulation, [(pictures,)])
    assert all(torch.equal(one.get_max(), kept) for one, kept in zip(quantizers, before, strict=True))


def test_weights_of_8_bits_are_refused(make: Make, pictures: torch.Tensor) -> None:
    simulation, _ = make("separable", 8)
    with pytest.raises(QuantizationError, match=r"weights of at most 4 bits; leave `quantize\.seq_mse` out"):
        seq_mse(simulation, [(pictures,)], 5)


def test_a_single_layer_of_4_bits_is_enough(make: Make, pictures: torch.Tensor) -> None:
    simulation, _ = make("separable", 8, {"last": "w4a8"})
    seq_mse(simulation, [(pictures,)], 5)
    ptq.calibrate(simulation, [(pictures,)])
    assert all(scale > 0 for entry in ptq.encodings(simulation).values() for scale in entry["scale"])
