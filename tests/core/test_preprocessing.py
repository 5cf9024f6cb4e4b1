from typing import Any, Literal

import numpy as np
import pytest

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.interface import Preprocessing
from edge_pipeline.core.preprocessing import Picture, fit, geometry, normalise

Fit = Literal["stretch", "letterbox", "crop"]
ALL = pytest.mark.parametrize("how", ["stretch", "letterbox", "crop"])


def settings(how: Any = "stretch", size: tuple[int, int] = (64, 96), **more: Any) -> Preprocessing:
    return Preprocessing(size=size, fit=how, **more)


@pytest.fixture
def picture() -> Picture:
    """A white rectangle, columns 40 to 80 and rows 20 to 60, in the middle of a black picture."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[20:60, 40:80] = 255
    return pixels


@ALL
@pytest.mark.parametrize("size", [(64, 96), (64, 64), (160, 100), (31, 97)])
def test_a_picture_gets_the_size_of_the_input(picture: Picture, how: Fit, size: tuple[int, int]) -> None:
    found, placed = fit(picture, settings(how, size))
    assert found.shape == (*size, 3)
    assert found.dtype == np.uint8
    assert placed.target == size


@ALL
@pytest.mark.parametrize("size", [(64, 96), (64, 64), (160, 100)])
def test_boxes_and_masks_lie_where_the_picture_shows_the_object(
    picture: Picture, how: Fit, size: tuple[int, int]
) -> None:
    found, placed = fit(picture, settings(how, size, fill=0))
    mask = (picture[:, :, 0] > 0).astype(np.uint8)[None]
    moved = placed.instances_to_input(Instances.of((80, 120), [[40, 20, 80, 60]], [3], masks=mask))
    white = found[:, :, 0] > 127
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    assert moved.boxes[0] == pytest.approx([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], abs=1.01)
    assert (moved.dense_masks()[0] != white).mean() < 0.02


@pytest.mark.parametrize("how", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", [(64, 96), (64, 64), (160, 100)])
def test_what_goes_to_the_input_comes_back(how: Fit, size: tuple[int, int]) -> None:
    placed = geometry((80, 120), settings(how, size))
    boxes = np.asarray([[3, 5, 100, 70], [0, 0, 120, 80]], np.float32)
    assert placed.boxes_to_original(placed.boxes_to_input(boxes)) == pytest.approx(boxes, abs=1e-3)
    labels = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3), 40, 0), 40, 1)
    assert (placed.labels_to_original(placed.labels_to_input(labels)) == labels).mean() > 0.95


def test_a_letterbox_keeps_proportions_and_fills_the_rest(picture: Picture) -> None:
    found, placed = fit(picture, settings("letterbox", (120, 120), fill=7))
    assert placed.scale_x == placed.scale_y == 1
    assert (found[:20] == 7).all()
    assert (found[100:] == 7).all()
    assert (placed.labels_to_input(np.zeros((80, 120), np.uint8))[:20] == IGNORED_LABEL).all()


def test_a_crop_shows_the_middle_and_drops_what_is_outside(picture: Picture) -> None:
    placed = geometry((80, 120), settings("crop", (80, 80)))
    moved = placed.instances_to_input(Instances.of((80, 120), [[0, 0, 10, 10], [50, 0, 60, 10]], [0, 1]))
    assert moved.classes.tolist() == [1]
    assert (placed.labels_to_original(np.zeros((80, 80), np.uint8))[:, :20] == IGNORED_LABEL).all()


def test_only_the_exact_size_is_taken_if_asked_for(picture: Picture) -> None:
    assert np.array_equal(fit(picture, settings("exact", (80, 120)))[0], picture)
    with pytest.raises(DatasetError, match="it is 120x80 pixels, the model takes 96x64"):
        fit(picture, settings("exact"))


def test_a_grey_picture_for_a_colour_model_is_refused() -> None:
    with pytest.raises(DatasetError, match="does not have 3 channels"):
        fit(np.zeros((8, 8, 1), np.uint8), settings())


def test_values_are_scaled_and_normalised_by_channel() -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    pixels[..., 0] = 255
    found = normalise(pixels, settings(mean=(0.5, 0.25, 0.0), std=(0.5, 0.5, 2.0)))
    assert found.shape == (2, 3, 4, 4)
    assert found.dtype == np.float32
    assert [found[0, channel, 0, 0] for channel in range(3)] == [1.0, -0.5, 0.0]


def test_channels_may_come_last() -> None:
    assert normalise(np.zeros((4, 5, 3), np.uint8), settings(layout="nhwc")).shape == (4, 5, 3)
