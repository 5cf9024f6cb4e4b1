"""Weight scales with which the NPU rescales by shifts."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, TensorSpec
from edge_pipeline.devices.htp_emulator import HtpEmulator
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.layout import Layout
from edge_pipeline.quantization.power_of_two import make_rescaling_exact
from edge_pipeline.runtimes.chips import chip

Make = Callable[..., Any]
every = pytest.mark.parametrize("name", ["branches", "separable", "enlarging"])


@pytest.fixture
def build(network: Make, pictures: torch.Tensor) -> Make:
    """Return a function that makes a calibrated simulation of one of the networks."""

    def make(name: str, **layout: Any) -> Any:
        inputs = (torch.zeros_like(pictures[:1]),)
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        found = ptq.simulate(prepared, inputs, Layout(**{"scheme": "min_max", **layout}))
        ptq.calibrate(found, [(pictures,)])
        found.model.eval()
        return found

    return make


def factors(model: bytes) -> dict[str, Any]:
    """Return input scale x weight scale / output scale of each layer of a QDQ file."""
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    found = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            image, weight = (constants[producers[name].input[1]].astype(np.float64) for name in node.input[:2])
            after = readers[node.output[0]]
            while after.op_type != "QuantizeLinear":
                after = readers[after.output[0]]
            found[node.name] = image * weight / constants[after.input[1]]
    return found


@every
def test_every_factor_in_the_file_is_a_power_of_two(
    build: Make, to_file: Make, pictures: torch.Tensor, name: str
) -> None:
    simulation = build(name)
    before = factors(to_file(simulation, pictures))
    changed = make_rescaling_exact(simulation.model)
    found = factors(to_file(simulation, pictures))
    assert len(changed) == len(found) == len(before)
    for layer, one in found.items():
        powers = np.log2(one)
        assert np.abs(powers - powers.round()).max() < 1e-5, layer
        assert np.abs(np.log2(one / before[layer])).max() < 1, layer
    assert any(np.abs(np.log2(one) % 1).max() > 0.1 for one in before.values())


@every
def test_it_costs_little(build: Make, network: Make, pictures: torch.Tensor, name: str) -> None:
    simulation, net = build(name), network(name)
    with torch.no_grad():
        exact = net(pictures)
        before = sqnr_db(exact, simulation.model(pictures))
        make_rescaling_exact(simulation.model)
        after = sqnr_db(exact, simulation.model(pictures))
    assert after > before - 2.0


def test_each_channel_takes_the_power_whose_weights_err_less(build: Make) -> None:
    simulation = build("separable")
    layer = simulation.model.get_submodule("last")
    weight, quantizer = layer.weight, layer.param_quantizers["weight"]
    make_rescaling_exact(simulation.model)
    low, high = quantizer.get_min().clone(), quantizer.get_max().clone()

    def errors(factor: float) -> torch.Tensor:
        quantizer.set_range(low * factor, high * factor)
        return (quantizer(weight) - weight).square().sum((1, 2, 3))

    with torch.no_grad():
        chosen = errors(1.0)
        assert bool((chosen <= errors(2.0) + 1e-9).all())
        assert bool((chosen <= errors(0.5) + 1e-9).all())


@pytest.mark.parametrize("layout", [{"weight_bits": 4}, {"activation_bits": 16}, {"overrides": {"last": "float"}}])
def test_layers_of_other_bits_are_left_alone(build: Make, layout: dict[str, Any]) -> None:
    simulation = build("separable", **layout)
    before = ptq.encodings(simulation)
    changed = make_rescaling_exact(simulation.model)
    assert "last" not in changed
    name = "last.param_quantizers.weight"
    assert ptq.encodings(simulation).get(name) == before.get(name)


def test_weights_whose_rounding_was_learned_are_left_alone(build: Make) -> None:
    simulation = build("separable")
    simulation.model.get_submodule("last").param_quantizers["weight"].allow_overwrite(False)
    assert "last" not in make_rescaling_exact(simulation.model)


def test_doing_it_twice_changes_nothing_more(build: Make) -> None:
    simulation = build("branches")
    make_rescaling_exact(simulation.model)
    once = ptq.encodings(simulation)
    make_rescaling_exact(simulation.model)
    twice = ptq.encodings(simulation)
    for name, one in once.items():
        assert twice[name]["scale"] == pytest.approx(one["scale"], rel=1e-5)


def test_a_scale_for_the_whole_weight_works_too(build: Make, to_file: Make, pictures: torch.Tensor) -> None:
    simulation = build("separable", per_channel=False)
    assert make_rescaling_exact(simulation.model)
    for one in factors(to_file(simulation, pictures)).values():
        assert np.abs(np.log2(one) - np.log2(one).round()).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["QCS6490", "QCS8550"])
def test_the_emulated_npu_then_agrees_with_the_simulation(
    build: Make,
    to_file: Make,
    outputs_of: Make,
    pictures: torch.Tensor,
    compile_qnn: Callable[..., Artifact],
    exported: Any,
    name: str,
) -> None:
    """The network has no SiLU, which the NPU computes without the sigmoid's rounding; the inputs are pixel values, for
    the NPU rounds other floats coarsely when it quantizes them."""
    simulation = build("separable")
    images = (pictures[:4] * 255).round() / 255

    def agreement() -> float:
        (wanted,) = outputs_of(simulation.model, images)
        sides = (
            (TensorSpec("in_0", (1, 3, 32, 32), "float32"),),
            (TensorSpec("out_0", (1, *wanted.shape[1:]), "float32"),),
        )
        source = next(one for precision, one in exported.items() if precision.quantized)
        files = {**source.files, "model.onnx": to_file(simulation, images)}
        made = compile_qnn(name, source=replace(source, files=files, inputs=sides[0], outputs=sides[1]))
        rows = HtpEmulator(chip(name)).infer(made, [(images.numpy(),)], threads=1, time_limit_s=300, target="separable")
        return sqnr_db(wanted, np.concatenate([row[0] for row in rows]))

    before = agreement()
    make_rescaling_exact(simulation.model)
    after = agreement()
    assert after > before + 3
    assert after > 40
