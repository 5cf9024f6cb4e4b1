"""A network that takes pixel values and normalises them itself."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import recipes
from edge_pipeline.models.pixels import TAKES_PIXELS, with_pixel_input
from edge_pipeline.models.spec import ClassifierSpec, CustomSpec, PreprocessingChanges

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAMPLE = (torch.zeros(1, 3, 16, 16),)


def network(padding: int, *, bias: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=padding, bias=bias), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()


def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(1)).float()


def normalised(mean: Any, std: Any) -> torch.Tensor:
    shape = (1, 3, 1, 1)
    return (pixels() / 255 - torch.tensor(mean).reshape(shape)) / torch.tensor(std).reshape(shape)


@pytest.mark.parametrize(
    ("mean", "padding", "bias", "layers"),
    [
        ((0.0, 0.0, 0.0), 1, False, 3),
        ((0.0, 0.0, 0.0), 1, True, 3),
        (MEAN, 0, False, 3),
        (MEAN, 0, True, 3),
        (MEAN, 1, False, 4),
    ],
)
def test_the_outputs_are_those_of_the_normalised_picture(
    mean: tuple[float, ...], padding: int, bias: bool, layers: int
) -> None:
    net = network(padding, bias=bias)
    before = [one.clone() for one in net.parameters()]
    found = with_pixel_input(net, mean, STD, SAMPLE)
    with torch.no_grad():
        torch.testing.assert_close(found(pixels()), net(normalised(mean, STD)), rtol=1e-4, atol=1e-4)
    assert sum(not list(one.children()) for one in found.modules()) == layers
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert getattr(found, TAKES_PIXELS) and not hasattr(net, TAKES_PIXELS)


def test_a_network_without_a_first_convolution_gets_one() -> None:
    net = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 4, 3, groups=1), nn.ReLU()).eval()
    found = with_pixel_input(net, MEAN, STD, SAMPLE)
    with torch.no_grad():
        torch.testing.assert_close(found(pixels()), net(normalised(MEAN, STD)), rtol=1e-4, atol=1e-4)


def test_the_interface_gives_pixel_values_and_training_stays_as_it_was(spec: ClassifierSpec) -> None:
    changed = spec.model_copy(update={"preprocessing": PreprocessingChanges(in_graph=True)})
    found = recipes.interface(changed).preprocessing
    assert found and (found.mean, found.std) == ((0.0,), (1 / 255,))
    assert recipes.interface(recipes.as_trained(changed)) == recipes.interface(spec)


def test_a_model_that_stays_onnx_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"preprocessing\.in_graph: a model that stays ONNX"):
        CustomSpec.model_validate(
            {
                "recipe": "custom",
                "task": "classification",
                "file": "a.onnx",
                "dataset": {"type": "digits"},
                "image_shape": [1, 8, 8],
                "classes": 10,
                "preprocessing": {"in_graph": True},
                "targets": {"runtimes": ["onnx"]},
            }
        )


def test_a_network_that_takes_no_pictures_is_refused(monkeypatch: pytest.MonkeyPatch, spec: ClassifierSpec) -> None:
    plain = recipes.interface(spec).model_copy(update={"preprocessing": None})
    monkeypatch.setattr("edge_pipeline.models.classifier.interface", lambda _: plain)
    with pytest.raises(ModelError, match="takes no pictures"):
        recipes.interface(spec.model_copy(update={"preprocessing": PreprocessingChanges(in_graph=True)}))
