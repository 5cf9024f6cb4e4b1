"""Single layers with a precision of their own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.export import to_onnx
from edge_pipeline.quantization.layout import Layout, layers

Make = Callable[..., Any]


@pytest.fixture
def build(network: Make, pictures: torch.Tensor) -> Make:
    """Return a function that makes an uncalibrated simulation of one of the networks, with overrides."""

    def make(name: str, **overrides: str) -> Any:
        inputs = (torch.zeros_like(pictures[:1]),)
        named = {key.replace("__", "."): one for key, one in overrides.items()}
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        return ptq.simulate(prepared, inputs, Layout(scheme="min_max", overrides=named))

    return make


def bits(simulation: Any) -> dict[str, tuple[Any, Any, Any]]:
    """Return bits of what each layer reads, of its weight, and of what it writes; 0 for none."""

    def of(quantizer: Any) -> int:
        return quantizer.bitwidth if quantizer is not None else 0

    found = {}
    for name in layers(simulation.model):
        layer = simulation.model.get_submodule(name)
        weight = dict(getattr(layer, "param_quantizers", {})).get("weight")
        found[name] = of(layer.input_quantizers[0]), of(weight), of(layer.output_quantizers[0])
    return found


@pytest.mark.parametrize(("precision", "expected"), [("w8a16", (8, 16)), ("w4a8", (4, 8)), ("w4a16", (4, 16))])
def test_one_layer_alone_changes(build: Make, precision: str, expected: tuple[int, int]) -> None:
    before, after = bits(build("separable")), bits(build("separable", last=precision))
    assert after.pop("last") == (0, *expected)
    assert after.pop("depthwise.2")[2] == expected[1]  # what the layer reads
    assert all(before[name] == one for name, one in after.items())


def test_a_float_layer_has_no_quantizers_and_neither_has_what_it_reads(build: Make) -> None:
    before, after = bits(build("separable")), bits(build("separable", last="float"))
    assert "last" not in after
    assert "depthwise.2" not in after
    assert all(before[name] == one for name, one in after.items())


def test_the_first_layer_changes_the_input_and_the_relu_that_is_fused_with_it(build: Make) -> None:
    found = bits(build("separable", first__0="w8a16"))
    assert found["first.0"] == (16, 8, 0)
    assert found["first.2"] == (0, 0, 16)
    assert found["depthwise.2"] == (0, 0, 8)


def test_a_float_layer_takes_the_quantizer_of_its_relu_away(build: Make) -> None:
    found = build("separable", first__0="float").model
    assert list(found.get_submodule("first.0").input_quantizers) == [None]
    assert list(found.get_submodule("first.2").output_quantizers) == [None]
    assert found.get_submodule("depthwise.0").param_quantizers["weight"].bitwidth == 8


@pytest.mark.parametrize("order", [1, -1])
def test_a_tensor_of_two_overrides_takes_the_finer(build: Make, order: int) -> None:
    overrides = dict([("first__0", "w4a16"), ("depthwise__0", "w4a8")][::order])
    found = bits(build("separable", **overrides))
    assert (found["first.2"][2], found["depthwise.2"][2]) == (16, 8)
    assert (found["first.0"][1], found["depthwise.0"][1]) == (4, 4)


@pytest.mark.parametrize("order", [1, -1])
def test_float_is_the_finest(build: Make, order: int) -> None:
    overrides = dict([("first__0", "w8a16"), ("depthwise__0", "float")][::order])
    found = build("separable", **overrides).model
    assert found.get_submodule("first.0").input_quantizers[0].bitwidth == 16
    assert found.get_submodule("first.2").output_quantizers[0] is None


def test_all_tensors_that_share_a_quantizer_change_together(build: Make) -> None:
    found = bits(build("branches", left="w8a16"))
    assert {found[name][2] for name in ("stem.2", "left", "module_add", "module_cat", "pool", "pad")} == {16}
    assert found["after.2"][2] == found["last"][2] == 8


def test_an_unknown_layer_is_told_with_the_closest(build: Make) -> None:
    with pytest.raises(QuantizationError, match=r"no layer 'depthwise\.9'; did you mean .*'depthwise\.0'"):
        build("separable", depthwise__9="w8a16")


def test_a_name_like_no_other_is_told_with_their_number(build: Make) -> None:
    with pytest.raises(QuantizationError, match=r"no layer 'zzzzzzzz'; there are 5\. The names"):
        build("separable", zzzzzzzz="float")


@pytest.mark.parametrize("precision", ["w8a16", "w4a8", "float"])
def test_the_state_loads_into_a_simulation_built_again(network: Make, pictures: torch.Tensor, precision: str) -> None:
    inputs = (torch.zeros_like(pictures[:1]),)
    layout = Layout(overrides={"left": precision, "last": "w8a16"}, scheme="min_max")

    def simulation(one: Layout) -> Any:
        return ptq.simulate(ptq.prepare(network("branches"), inputs, equalize=False), inputs, one)

    first = simulation(layout)
    ptq.calibrate(first, [(pictures,)])
    first.model.eval()
    again = simulation(Layout(**layout.to_dict()))
    ptq.fill(again, first.model.state_dict())
    with torch.no_grad():
        assert torch.equal(first.model(pictures), again.model(pictures))


@pytest.mark.parametrize("name", ["separable", "branches"])
@pytest.mark.parametrize(("precision", "least"), [("w8a16", 40), ("w4a8", 20), ("float", 20)])
def test_the_onnx_file_gives_what_the_simulation_gives(
    build: Make, outputs_of: Make, pictures: torch.Tensor, name: str, precision: str, least: float
) -> None:
    names = {"separable": ("first__0", "depthwise__0", "last"), "branches": ("stem__0", "left", "after__0", "last")}
    every = names[name] if precision == "w8a16" else names[name][-1:]
    found = build(name, **dict.fromkeys(every, precision))
    ptq.calibrate(found, [(pictures,)])
    found.model.eval()
    data = to_onnx(found.model, (pictures[:1],), ["in"], ["out"], opset=21, quantized=True)
    (expected,), (actual,) = (outputs_of(one, pictures[:4]) for one in (found.model, data))
    assert sqnr_db(expected, actual) > least
