"""Weights rounded up or down by what it does to the layer's output."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.adaround import adaround
from edge_pipeline.quantization.layout import Layout

Make = Callable[..., Any]
LAYERS = ["first.0", "depthwise.0", "last"]


@pytest.fixture
def make(network: Make, pictures: torch.Tensor) -> Make:
    """Return a function that makes a calibrated simulation of the depthwise network, rounded or not."""
    inputs = (torch.zeros_like(pictures[:1]),)

    def build(iterations: int = 0, *, overrides: Any = None, weight_bits: int = 4) -> tuple[Any, Any]:
        layout = Layout(weight_bits, 8, overrides or {}, "min_max")
        prepared = ptq.prepare(network("separable"), inputs, equalize=False)
        plain = ptq.simulate(prepared, inputs, layout)
        if iterations:

            def simulate(rounded: Any) -> Any:
                return ptq.simulate(rounded, inputs, layout)

            batches = [(part,) for part in pictures.split(8)]
            plain = adaround(prepared, inputs, layout, batches, iterations, simulate)
        ptq.calibrate(plain, [(pictures,)])
        plain.model.eval()
        return plain, prepared

    return build


def weights(simulation: Any) -> dict[str, Any]:
    with torch.no_grad():
        found = {}
        for name in LAYERS:
            layer = simulation.model.get_submodule(name)
            quantizer = layer.param_quantizers["weight"]
            found[name] = quantizer(layer.weight) if quantizer is not None else layer.weight
        return found


@pytest.mark.slow
def test_the_outputs_are_closer_than_after_rounding_to_the_nearest(make: Make, pictures: torch.Tensor) -> None:
    plain, prepared = make()
    rounded, _ = make(150)
    with torch.no_grad():
        wanted = prepared(pictures)
        assert sqnr_db(wanted, rounded.model(pictures)) > sqnr_db(wanted, plain.model(pictures)) + 0.5


def test_a_weight_moves_by_less_than_a_step(make: Make) -> None:
    rounded, prepared = make(20)
    for name, weight in weights(rounded).items():
        quantizer = rounded.model.get_submodule(name).param_quantizers["weight"]
        steps = ((weight - prepared.get_submodule(name).weight).abs() / quantizer.get_scale()).max()
        assert float(steps) <= 1.0001


def test_calibration_leaves_the_ranges_of_the_weights(make: Make, others: torch.Tensor) -> None:
    rounded, _ = make(5)
    before = weights(rounded)
    ptq.calibrate(rounded, [(others,)])
    assert all(torch.equal(one, before[name]) for name, one in weights(rounded).items())


def test_the_float_network_stays(make: Make, network: Make, pictures: torch.Tensor) -> None:
    _, prepared = make(5)
    untouched = ptq.prepare(network("separable"), (torch.zeros_like(pictures[:1]),), equalize=False)
    for name in LAYERS:
        assert torch.equal(prepared.get_submodule(name).weight, untouched.get_submodule(name).weight)


def test_a_layer_of_other_bits_keeps_them(make: Make) -> None:
    rounded, prepared = make(5, overrides={"last": "w8a16"})
    found = {name: rounded.model.get_submodule(name).param_quantizers["weight"].bitwidth for name in LAYERS}
    assert found == {"first.0": 4, "depthwise.0": 4, "last": 8}
    assert sqnr_db(prepared.get_submodule("last").weight.detach(), weights(rounded)["last"]) > 35


def test_a_float_layer_keeps_its_weights(make: Make) -> None:
    rounded, prepared = make(5, overrides={"last": "float"})
    assert torch.equal(rounded.model.get_submodule("last").weight, prepared.get_submodule("last").weight)


def test_what_aimet_cannot_round_is_told(make: Make, pictures: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    from aimet_torch.adaround.adaround_weight import Adaround

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such layer")

    monkeypatch.setattr(Adaround, "apply_adaround", fail)
    with pytest.raises(QuantizationError, match="AdaRound failed: no such layer"):
        make(5)
