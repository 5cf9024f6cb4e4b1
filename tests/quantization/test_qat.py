"""Training goes on in the simulation."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision, Split
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.quantization.qat import distillation, train_quantized

Make = Callable[..., Any]


@pytest.fixture
def make(network: Make, pictures: torch.Tensor) -> Make:
    """Return a function that makes a calibrated simulation at 4-bit weights, and its float network."""
    inputs = (torch.zeros_like(pictures[:1]),)

    def build(net: Any) -> tuple[Any, Any]:
        prepared = ptq.prepare(network(net) if isinstance(net, str) else net, inputs, equalize=False)
        found = ptq.simulate(prepared, inputs, Layout(4, 8, scheme="min_max"))
        ptq.calibrate(found, [(pictures,)])
        found.model.eval()
        return found, prepared

    return build


def steps(pictures: torch.Tensor, count: int) -> Any:
    parts = pictures.split(8)
    return (((parts[i % len(parts)],), None) for i in range(count))


def ranges(simulation: Any) -> dict[str, torch.Tensor]:
    return {
        name: one.detach().clone()
        for name, one in simulation.model.named_parameters()
        if name.endswith((".min", ".max"))
    }


def test_distillation_brings_the_outputs_closer(make: Make, pictures: torch.Tensor) -> None:
    simulation, prepared = make("separable")
    with torch.no_grad():
        before = sqnr_db(prepared(pictures), simulation.model(pictures))
    loss = distillation(prepared)
    history = train_quantized(simulation, steps(pictures, 30), 30, loss, learning_rate=1e-3, learn_ranges=True)
    with torch.no_grad():
        assert sqnr_db(prepared(pictures), simulation.model(pictures)) > before + 1
    assert len(history) == 30
    assert np.mean(history[-5:]) < np.mean(history[:5])
    assert not any(one.requires_grad for one in simulation.model.parameters())


@pytest.mark.parametrize("learned", [True, False])
def test_ranges_are_learned_if_that_is_asked(make: Make, pictures: torch.Tensor, learned: bool) -> None:
    simulation, prepared = make("separable")
    before = ranges(simulation)
    weight = simulation.model.get_submodule("last").weight.clone()
    loss = distillation(prepared)
    train_quantized(simulation, steps(pictures, 3), 3, loss, learning_rate=1e-3, learn_ranges=learned)
    equal = [torch.equal(one, before[name]) for name, one in ranges(simulation).items()]
    assert all(equal) if not learned else not any(equal)
    assert not torch.equal(simulation.model.get_submodule("last").weight, weight)


def test_the_fixed_range_of_a_sigmoid_stays(make: Make, pictures: torch.Tensor) -> None:
    simulation, prepared = make(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 2, 1)).eval())
    before = ranges(simulation)
    (fixed,) = (
        f"{name}.output_quantizers.0"
        for name, one in simulation.model.named_modules()
        if type(one).__name__ == "QuantizedSigmoid"
    )
    loss = distillation(prepared)
    train_quantized(simulation, steps(pictures, 3), 3, loss, learning_rate=1e-3, learn_ranges=True)
    after = ranges(simulation)
    kept = {name for name, one in after.items() if torch.equal(one, before[name])}
    assert kept == {f"{fixed}.min", f"{fixed}.max"}


def test_every_output_weighs_the_same(make: Make, pictures: torch.Tensor) -> None:
    _, prepared = make("separable")
    (wanted,) = recipes.as_tuple(prepared(pictures))
    found = distillation(lambda *_: (wanted, 1000 * wanted))((1.1 * wanted, 1100 * wanted), (pictures,), None)  # type: ignore[arg-type]
    assert found.item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_told(make: Make, pictures: torch.Tensor, number: float) -> None:
    simulation, _ = make("separable")

    def loss(outputs: Any, *_: Any) -> torch.Tensor:
        return outputs[0].sum() * number

    with pytest.raises(QuantizationError, match=r"the loss became (nan|-?inf) in step 1; lower `quantize\.qat"):
        train_quantized(simulation, steps(pictures, 3), 3, loss, learning_rate=1e-3, learn_ranges=True)


@pytest.fixture
def subject(weights: Artifact, spec: ModelSpec, small_split: Split, digits: Any) -> Any:
    from edge_pipeline.pipelines.quantize.calibration import Inputs
    from edge_pipeline.pipelines.quantize.techniques import Subject

    calibration = Inputs(digits, recipes.interface(spec), small_split.train[:64], 32)
    return Subject(spec, weights, calibration, small_split.train)


@pytest.mark.parametrize("loss", ["distillation", "task"])
def test_the_digits_network_is_trained_in_a_copy(subject: Any, loss: Any) -> None:
    from edge_pipeline.pipelines.quantize.parameters import Qat, QuantizeParameters
    from edge_pipeline.pipelines.quantize.techniques import Asked, layout_of, quantized, retrained

    given = QuantizeParameters(cross_layer_equalization=False, scheme="min_max")
    layout = layout_of(given, Asked(Precision.W4A8, "v73", "off", False, "net"), {})
    simulation = quantized(subject, given, layout)
    images = torch.cat([one for (one,) in subject.calibration])
    with torch.no_grad():
        wanted, before = subject.network(images), simulation.model(images)
    trained = retrained(subject, simulation, layout, Qat(steps=30, learning_rate=1e-4, loss=loss), equalize=False)
    with torch.no_grad():
        after = trained.model(images)
        assert torch.equal(simulation.model(images), before)
    if loss == "distillation":
        assert sqnr_db(wanted, after) > sqnr_db(wanted, before)
    assert float((after.argmax(1) == wanted.argmax(1)).float().mean()) > 0.9


def test_the_same_steps_give_the_same_simulation(subject: Any) -> None:
    from edge_pipeline.pipelines.quantize.parameters import Qat, QuantizeParameters
    from edge_pipeline.pipelines.quantize.techniques import Asked, layout_of, quantized

    given = QuantizeParameters(scheme="min_max", qat=Qat(steps=3))
    layout = layout_of(given, Asked(Precision.W8A8, "v73", "off", False, "net"), {})
    first, second = (quantized(subject, given, layout) for _ in range(2))
    (images,) = next(islice(iter(subject.calibration), 1))
    with torch.no_grad():
        assert torch.equal(first.model(images), second.model(images))
