import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout


@pytest.fixture
def simulate(net: Any, spec: ModelSpec) -> Callable[[str], Any]:
    """Return a function that makes an uncalibrated simulation of the trained network."""

    def make(scheme: str) -> Any:
        inputs = recipes.dummy_inputs(spec)
        return ptq.simulate(ptq.prepare(net, inputs, equalize=True), inputs, Layout(scheme=scheme))

    return make


schemes = pytest.mark.parametrize("scheme", ["min_max", "tf_enhanced"])


@schemes
def test_no_samples_are_refused_with_the_key_to_raise(simulate: Callable[[str], Any], scheme: str) -> None:
    with pytest.raises(QuantizationError, match=r"no samples; raise `quantize\.calibration_images`"):
        ptq.calibrate(simulate(scheme), [])


@schemes
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite_is_refused(
    simulate: Callable[[str], Any], images: Any, scheme: str, number: float
) -> None:
    batch = torch.from_numpy(images[:8].copy())
    batch[3, 0, 4, 4] = number
    with pytest.raises(QuantizationError, match="a calibration sample holds NaN or infinite values"):
        ptq.calibrate(simulate(scheme), [(batch,)])


@schemes
def test_after_calibration_the_simulation_is_close_to_the_network(
    simulate: Callable[[str], Any], weights: Artifact, spec: ModelSpec, images: Any, scheme: str
) -> None:
    untouched = recipes.restore(spec, weights)
    batch = torch.from_numpy(images)
    simulation = simulate(scheme)
    ptq.calibrate(simulation, ((part,) for part in batch.split(16)))
    with torch.no_grad():
        assert 20 < sqnr_db(untouched(batch), simulation.model(batch)) < 100


def test_every_quantizer_has_eight_bits_and_positive_scales(sim: Any) -> None:
    found = ptq.encodings(sim)
    assert {entry["bitwidth"] for entry in found.values()} == {8}
    assert all(scale > 0 for entry in found.values() for scale in entry["scale"])


def test_input_output_and_every_weight_are_quantized_weights_by_channel(sim: Any) -> None:
    scales = {name: len(entry["scale"]) for name, entry in ptq.encodings(sim).items()}
    channels = {name: count for name, count in scales.items() if "weight" in name}
    assert sorted(channels.values()) == [10, 32, 64, 96]
    activations = [name for name in scales if name not in channels]
    assert all(scales[name] == 1 for name in activations)
    assert any("input" in name for name in activations)
    assert any(name.startswith("head") for name in activations)


def test_the_stage_keeps_the_encodings_of_its_simulation(simulation: Artifact, sim: Any) -> None:
    kept, found = json.loads(simulation.files["encodings.json"]), ptq.encodings(sim)
    assert kept == {name: found[name] for name in kept}
    assert len(kept) >= 10


def test_a_kept_simulation_names_the_weights_it_was_made_from(simulation: Artifact, weights: Artifact) -> None:
    assert simulation.parents["weights"] == weights.hash
    assert len(simulation.details["calibration"]) == 256


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_images_without_any_finite_number_are_refused(simulate: Callable[[str], Any], number: float) -> None:
    with pytest.raises(QuantizationError):
        ptq.calibrate(simulate("tf_enhanced"), [(torch.full((2, 1, 8, 8), number),)])
