from typing import Any

import pytest
import torch

from edge_pipeline.pipelines.finetune.parameters import AugmentParameters
from edge_pipeline.pipelines.finetune.training import augment

OFF = {"rotate_degrees": 0, "shift": 0, "scale": 0}


def augmented(images: torch.Tensor, seed: int = 0, **changes: Any) -> torch.Tensor:
    return augment(images, AugmentParameters(**{**OFF, **changes}), torch.Generator().manual_seed(seed))


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.rand(6, 3, 8, 10, generator=torch.Generator().manual_seed(1))


def test_without_any_change_images_stay_as_they_are(batch: torch.Tensor) -> None:
    assert torch.allclose(augmented(batch), batch, atol=1e-5)


@pytest.mark.parametrize("change", [{"rotate_degrees": 20}, {"shift": 0.3}, {"scale": 0.3}], ids=str)
def test_every_kind_changes_each_image_in_its_own_way(batch: torch.Tensor, change: dict[str, float]) -> None:
    same = batch[:1].repeat(6, 1, 1, 1)
    found = augmented(same, **change)
    assert found.shape == same.shape
    assert not torch.allclose(found[0], same[0], atol=1e-3)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_the_generator_fixes_the_changes(batch: torch.Tensor) -> None:
    assert torch.equal(augmented(batch, shift=0.3), augmented(batch, shift=0.3))
    assert not torch.equal(augmented(batch, shift=0.3), augmented(batch, seed=1, shift=0.3))


def test_pixels_stay_between_0_and_1(batch: torch.Tensor) -> None:
    found = augmented(batch, rotate_degrees=45, shift=0.5, scale=0.5)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6


def test_a_shift_moves_the_picture_no_further_than_its_limit() -> None:
    dot = torch.zeros(64, 1, 21, 21)
    dot[:, :, 10, 10] = 1
    found = augmented(dot, shift=0.2)
    rows, columns = (found.sum(dim) for dim in ((1, 3), (1, 2)))
    places = torch.arange(21.0)
    for marginal in (rows, columns):
        moved = (marginal * places).sum(1) / marginal.sum(1) - 10
        assert moved.abs().max() <= 0.2 * 21 + 0.5
        assert moved.abs().max() > 0.1 * 21
