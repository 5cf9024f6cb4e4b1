"""What each layer costs when it alone is quantized."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout, layers
from edge_pipeline.quantization.sensitivity import LayerSensitivity, outputs_sqnr, sensitivity, worth_overriding

Make = Callable[..., Any]


@pytest.fixture
def make(network: Make, pictures: torch.Tensor) -> Make:
    """Return a function that makes a calibrated simulation; `spoilt` names a layer of a terrible range of weights."""

    def build(name: str, spoilt: str | None = None, **overrides: str) -> Any:
        inputs = (torch.zeros_like(pictures[:1]),)
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        layout = Layout(overrides=overrides, scheme="min_max", per_channel=False)
        found = ptq.simulate(prepared, inputs, layout)
        ptq.calibrate(found, [(pictures,)])
        found.model.eval()
        if spoilt:
            quantizer = found.model.get_submodule(spoilt).param_quantizers["weight"]
            quantizer.set_range(quantizer.min * 100, quantizer.max * 100)
        return found

    return build


def tell(*_: Any) -> None:
    """Listen to nothing."""


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [("separable", "first.0"), ("separable", "depthwise.0"), ("branches", "left"), ("branches", "last")],
)
def test_a_layer_of_a_terrible_range_comes_first(make: Make, pictures: torch.Tensor, name: str, spoilt: str) -> None:
    found = sensitivity(make(name, spoilt), [(pictures[:8],)], None, tell)
    assert found[0].layer == spoilt
    assert found[0].kind == "Conv2d"
    assert found[0].share > 0.8
    assert found == sorted(found, key=lambda one: one.sqnr_db)


def test_shares_sum_to_one_and_every_layer_is_told(make: Make, pictures: torch.Tensor) -> None:
    simulation = make("branches")
    told: list[tuple[int, str]] = []
    found = sensitivity(simulation, [(pictures[:8],)], None, lambda done, layer: told.append((done, layer)))
    assert sum(one.share for one in found) == pytest.approx(1)
    assert told == list(enumerate(layers(simulation.model), start=1))
    assert {one.layer for one in found} == set(layers(simulation.model))
    assert all(one.metric is None for one in found)


def test_a_layer_alone_costs_less_than_all_together(make: Make, network: Make, pictures: torch.Tensor) -> None:
    simulation, batches = make("separable"), [(pictures[:8],)]
    found = sensitivity(simulation, batches, None, tell)
    float_network = ptq.prepare(network("separable"), (torch.zeros_like(pictures[:1]),), equalize=False)
    whole = outputs_sqnr(float_network, batches)(simulation.model)
    assert all(one.sqnr_db > whole for one in found)


@pytest.mark.parametrize("name", ["separable", "branches"])
def test_the_simulation_is_as_before(make: Make, pictures: torch.Tensor, name: str) -> None:
    simulation = make(name)
    with torch.no_grad():
        before = simulation.model(pictures)
        kept = [id(one) for one in simulation.model.modules()]
        sensitivity(simulation, [(pictures[:8],)], None, tell)
        assert torch.equal(simulation.model(pictures), before)
    assert [id(one) for one in simulation.model.modules()] == kept


def test_it_is_as_before_after_a_failure_too(make: Make, pictures: torch.Tensor) -> None:
    simulation = make("separable")
    with torch.no_grad():
        before = simulation.model(pictures)

    def fail(_: Any) -> float:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        sensitivity(simulation, [(pictures[:8],)], fail, tell)
    with torch.no_grad():
        assert torch.equal(simulation.model(pictures), before)


def test_a_metric_is_measured_on_each_network(make: Make, pictures: torch.Tensor) -> None:
    found = sensitivity(make("separable"), [(pictures[:8],)], lambda net: float(net(pictures[:2]).mean()), tell)
    assert len({one.metric for one in found}) > 1


def test_float_layers_are_left_out(make: Make, pictures: torch.Tensor) -> None:
    found = sensitivity(make("separable", last="float"), [(pictures[:8],)], None, tell)
    assert {one.layer for one in found} == {"first.0", "first.2", "depthwise.0"}


def test_the_fewest_layers_are_worth_overriding() -> None:
    found = [LayerSensitivity(name, "Conv2d", 0, share) for name, share in (("a", 0.5), ("b", 0.3), ("c", 0.2))]
    assert worth_overriding(found, 0.4) == ["a"]
    assert worth_overriding(found, 0.5) == ["a"]
    assert worth_overriding(found, 0.6) == ["a", "b"]
    assert worth_overriding(found, 1.0) == ["a", "b", "c"]


@torch.no_grad()
def test_of_several_outputs_the_worst_counts(pictures: torch.Tensor) -> None:
    def reference(x: torch.Tensor) -> Any:
        return x, x

    compare = outputs_sqnr(reference, [(pictures,)])  # type: ignore[arg-type]
    assert compare(reference) == 200.0  # type: ignore[arg-type]
    assert compare(lambda x: (x, 1.1 * x)) == pytest.approx(20, abs=0.01)  # type: ignore[arg-type,return-value]
