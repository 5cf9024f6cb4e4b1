"""Which tensors have a quantizer, and which share one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edge_pipeline.core.numerics import sqnr_db

Make = Callable[..., Any]
every = pytest.mark.parametrize("name", ["branches", "separable", "enlarging"])


def output_quantizer(simulation: Any, module: str) -> Any:
    (quantizer,) = simulation.model.get_submodule(module).output_quantizers
    return quantizer


def named(simulation: Any, kind: str) -> list[str]:
    return [name for name, module in simulation.model.named_modules() if type(module).__name__ == f"Quantized{kind}"]


def test_all_inputs_of_a_concatenation_share_its_quantizer_also_through_a_split(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    simulation = simulate(network("branches"), pictures)
    (concat,), (addition,) = named(simulation, "Concat"), named(simulation, "Add")
    quantizer = output_quantizer(simulation, concat)
    assert quantizer is output_quantizer(simulation, "stem.2")
    assert quantizer is output_quantizer(simulation, addition)


def test_pooling_and_padding_pass_the_quantizer_on(network: Make, simulate: Make, pictures: torch.Tensor) -> None:
    simulation = simulate(network("branches"), pictures)
    (concat,) = named(simulation, "Concat")
    quantizer = output_quantizer(simulation, concat)
    assert quantizer is output_quantizer(simulation, "pool")
    assert quantizer is output_quantizer(simulation, "pad")


def test_both_kinds_of_upsampling_share_the_quantizer_of_what_they_enlarge(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    simulation = simulate(network("branches"), pictures)
    (bilinear,) = named(simulation, "Interpolate")
    assert output_quantizer(simulation, "up") is output_quantizer(simulation, "after.2")
    assert output_quantizer(simulation, bilinear) is output_quantizer(simulation, "last")


def test_layers_that_compute_keep_quantizers_of_their_own(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    simulation = simulate(network("branches"), pictures)
    own = [output_quantizer(simulation, name) for name in ("stem.2", "after.2", "last", "left")]
    assert len({id(quantizer) for quantizer in own}) == 4


def test_a_shared_quantizer_covers_every_tensor_that_shares_it(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    net = network("branches")
    (concat,) = named(simulation := simulate(net, pictures), "Concat")
    with torch.no_grad():
        stem = net.stem(pictures)
        largest = max(stem.max(), (stem[:, 8:] + net.left(stem[:, 8:])).max())
    assert output_quantizer(simulation, concat).get_max().item() == pytest.approx(largest.item(), rel=0.05)


def test_a_depthwise_convolution_has_no_quantizer_before_its_relu6(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    simulation = simulate(network("separable"), pictures)
    assert output_quantizer(simulation, "depthwise.0") is None
    assert output_quantizer(simulation, "depthwise.2") is not None
    assert output_quantizer(simulation, "last") is not None


def test_silu_has_one_quantizer_at_its_end_and_one_for_its_sigmoid(
    network: Make, simulate: Make, pictures: torch.Tensor
) -> None:
    silu = simulate(network("branches"), pictures).model.get_submodule("stem.2")
    assert silu.output_quantizers[0] is not None
    assert silu.sigmoid.output_quantizers[0] is not None
    assert silu.mul.output_quantizers[0] is None


def test_a_sigmoid_has_the_range_of_litert_also_where_it_is_concatenated_with_something_wider(
    simulate: Make, pictures: torch.Tensor
) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)
            torch.nn.init.constant_(self.other.bias, 30.0)
            self.sigmoid = torch.nn.Sigmoid()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.sigmoid(self.one(x)), self.other(x)], 1)

    simulation = simulate(Net().eval(), pictures)
    (concat,) = named(simulation, "Concat")
    sigmoid = output_quantizer(simulation, "sigmoid")
    assert (sigmoid.get_scale().item(), sigmoid.get_offset().item()) == (1 / 256, 0)
    assert output_quantizer(simulation, concat) is output_quantizer(simulation, "other")
    assert output_quantizer(simulation, concat).get_max().item() > 29


@every
def test_the_state_of_a_calibrated_simulation_makes_a_new_one_the_same(
    network: Make, simulate: Make, pictures: torch.Tensor, name: str
) -> None:
    first = simulate(network(name), pictures)
    second = simulate(network(name), pictures, calibrated=False)
    second.model.load_state_dict(first.model.state_dict())
    second.model.eval()
    assert torch.equal(first.model(pictures), second.model(pictures))


@every
def test_the_simulation_stays_close_to_the_network(
    network: Make, simulate: Make, pictures: torch.Tensor, name: str
) -> None:
    net = network(name)
    with torch.no_grad():
        assert 25 < sqnr_db(net(pictures), simulate(net, pictures).model(pictures)) < 80


def test_a_module_that_stays_float_has_no_quantizer_and_computes_exactly(
    simulate: Make, pictures: torch.Tensor
) -> None:
    class Precise(torch.nn.Module):
        stays_float = True

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.softmax(x * 3, 1), y.exp()

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)
            self.precise = Precise()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.precise(self.one(x), self.other(x))

    torch.manual_seed(0)
    model = simulate(Net().eval(), pictures).model
    with torch.no_grad():
        found = model(pictures)
        expected = Precise()(model.one(pictures), model.other(model.one.input_quantizers[0](pictures)))
    assert not any("precise" in name for name, _ in model.named_modules() if "quantizer" in name)
    assert all(torch.allclose(one, other) for one, other in zip(found, expected, strict=True))
