from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.pipelines.finetune.augment import Augment
from edge_pipeline.pipelines.finetune.parameters import AugmentParameters

OFF = {"rotate_degrees": 0, "shift": 0, "scale": 0}


def augmented(picture: Picture, truth: Any = 0, epoch: int = 1, index: int = 0, **changes: Any) -> tuple[Picture, Any]:
    return Augment(AugmentParameters(**{**OFF, **changes}), 0, 114)(picture, truth, epoch, index)


@pytest.fixture
def picture() -> Picture:
    return np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture
def square() -> tuple[Picture, Instances, Any]:
    """A white square on black, its instance with a mask, and its label map."""
    mask = np.zeros((1, 60, 60), np.uint8)
    mask[0, 20:40, 15:35] = 1
    picture = np.repeat(mask[0, :, :, None] * 255, 3, 2).astype(np.uint8)
    return picture, Instances.of((60, 60), [[15, 20, 35, 40]], [2], masks=mask), mask[0]


def test_without_any_change_all_stays_as_it_is(picture: Picture) -> None:
    found, truth = augmented(picture, 7)
    assert np.array_equal(found, picture)
    assert truth == 7


def test_a_grey_picture_stays_grey() -> None:
    found, _ = augmented(np.zeros((8, 8, 1), np.uint8), rotate_degrees=10, color=0.5)
    assert found.shape == (8, 8, 1)


@pytest.mark.parametrize(
    "change",
    [{"rotate_degrees": 20}, {"shift": 0.3}, {"scale": 0.3}, {"color": 0.5}, {"flip_horizontal": 0.5}],
    ids=str,
)
def test_every_kind_changes_each_picture_in_its_own_way(picture: Picture, change: dict[str, float]) -> None:
    found = {augmented(picture, index=index, **change)[0].tobytes() for index in range(8)}
    assert len(found) >= 2


def test_epoch_and_index_fix_the_changes(picture: Picture) -> None:
    first, again, other = (augmented(picture, epoch=epoch, shift=0.3)[0] for epoch in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mirroring_is_exact(picture: Picture) -> None:
    assert np.array_equal(augmented(picture, flip_horizontal=1)[0], picture[:, ::-1])
    assert np.array_equal(augmented(picture, flip_vertical=1)[0], picture[::-1])


@pytest.mark.parametrize(
    "change",
    [{"shift": 0.2}, {"scale": 0.4}, {"flip_horizontal": 1, "flip_vertical": 1}, {"shift": 0.1, "scale": 0.3}],
    ids=str,
)
@pytest.mark.parametrize("index", range(4))
def test_boxes_and_masks_move_with_the_picture(square: Any, change: dict[str, float], index: int) -> None:
    picture, instances, _ = square
    found, moved = augmented(picture, instances, index=index, **change)
    white = found[:, :, 0] == 255
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert moved.boxes[0] == pytest.approx(seen, abs=1.5)
    assert (moved.dense_masks()[0] & white).sum() > 0.9 * white.sum()
    assert moved.classes.tolist() == [2]


def test_label_maps_move_with_the_picture_and_new_pixels_are_ignored(square: Any) -> None:
    picture, _, labels = square
    found, moved = augmented(picture, labels, rotate_degrees=30, shift=0.2)
    outside = found[:, :, 0] == 114
    assert (moved[outside] == IGNORED_LABEL).mean() > 0.8
    assert (moved[found[:, :, 0] == 255] == 1).mean() > 0.95


def test_an_object_that_leaves_the_picture_is_no_label_any_more() -> None:
    corner = Instances.of((60, 60), [[0, 0, 6, 6], [27, 27, 33, 33]], [0, 1])
    lost = 0
    for index in range(40):
        _, moved = augmented(np.zeros((60, 60, 3), np.uint8), corner, index=index, shift=0.4)
        lost += 0 not in moved.classes
        assert (moved.boxes >= 0).all()
        assert (moved.boxes <= 60).all()
    assert lost > 10


def test_no_objects_are_no_problem(picture: Picture) -> None:
    empty = Instances.of((40, 60), [], [], masks=np.zeros((0, 40, 60), np.uint8))
    assert len(augmented(picture, empty, shift=0.3)[1]) == 0
