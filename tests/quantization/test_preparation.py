import copy
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import QuantizationError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.quantization import ptq

either = pytest.mark.parametrize("equalize", [True, False], ids=["equalized", "folded"])


def prepare(net: torch.nn.Module, spec: ModelSpec, equalize: bool) -> torch.nn.Module:
    return ptq.prepare(net, recipes.dummy_inputs(spec), equalize=equalize)


@either
def test_the_outputs_stay_the_same_up_to_rounding(net: Any, spec: ModelSpec, images: Any, equalize: bool) -> None:
    batch = torch.from_numpy(images)
    with torch.no_grad():
        before = net(batch)
        after = prepare(net, spec, equalize)(batch)
    assert sqnr_db(before, after) > 100


@either
def test_no_batch_norm_and_no_identity_is_left(net: Any, spec: ModelSpec, equalize: bool) -> None:
    kinds = {type(module) for module in prepare(net, spec, equalize).modules()}
    assert torch.nn.Conv2d in kinds
    assert not kinds & {torch.nn.Identity, torch.nn.BatchNorm2d}


def test_equalizing_alone_gives_both_sides_of_a_channel_the_same_range(net: Any, spec: ModelSpec) -> None:
    other = copy.deepcopy(net)
    for network, equal in ((net, True), (other, False)):
        first, second, _ = (m for m in prepare(network, spec, equal).modules() if isinstance(m, torch.nn.Conv2d))
        made, taken = first.weight.abs().amax((1, 2, 3)), second.weight.abs().amax((0, 2, 3))
        assert torch.allclose(made, taken, rtol=1e-3) == equal


@either
def test_the_structure_depends_on_the_network_alone(spec: ModelSpec, equalize: bool) -> None:
    first, second = (prepare(recipes.recipe(spec).build(spec), spec, equalize) for _ in range(2))
    assert list(first.state_dict()) == list(second.state_dict())
    second.load_state_dict(first.state_dict())
    batch = torch.rand(2, *spec.image_shape)
    assert torch.equal(first(batch), second(batch))


def test_a_network_that_cannot_be_traced_is_refused_with_the_reason_and_what_to_do(spec: ModelSpec) -> None:
    class DataDependent(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(QuantizationError, match=r"cannot be traced .*control flow.* Use modules"):
        prepare(DataDependent(), spec, False)


@either
def test_the_network_itself_stays_as_it_was(net: Any, spec: ModelSpec, images: Any, equalize: bool) -> None:
    batch = torch.from_numpy(images)
    with torch.no_grad():
        before = net(batch)
        prepare(net, spec, equalize)
        assert torch.equal(net(batch), before)
