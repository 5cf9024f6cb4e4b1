"""From the frame of the input to that of the picture."""

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.interface import Preprocessing
from edge_pipeline.core.preprocessing import geometry
from edge_pipeline.tasks.decode import restore

GEOMETRIES = [
    geometry((90, 160), Preprocessing(size=(64, 64), fit="letterbox")),
    geometry((90, 160), Preprocessing(size=(64, 64), fit="crop")),
    geometry((90, 160), Preprocessing(size=(64, 64), fit="stretch")),
    geometry((30, 21), Preprocessing(size=(64, 96), fit="letterbox")),
    geometry((64, 64), Preprocessing(size=(64, 64), fit="exact")),
]


@pytest.mark.parametrize("placed", GEOMETRIES)
def test_objects_move_with_their_masks(placed) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(0)
    masks = generator.random((6, *placed.target)) < 0.4
    masks[3] = False
    masks[4, :20] = masks[4, :, :9] = False
    found = Instances.of(placed.target, generator.uniform(0, 60, (6, 4)), range(6), generator.random(6), masks)
    moved, expected = restore(found, placed), placed.instances_to_original(found)
    assert isinstance(moved, Instances)
    assert moved.size == placed.original
    assert np.array_equal(moved.dense_masks(), expected.dense_masks())
    for name in ("boxes", "classes", "scores", "crowd"):
        assert np.array_equal(getattr(moved, name), getattr(expected, name))


@pytest.mark.parametrize("masks", [None, np.zeros((0, 64, 64), np.uint8)])
def test_no_objects_stay_no_objects(masks: None) -> None:
    moved = restore(Instances.of((64, 64), [], [], masks=masks), GEOMETRIES[0])
    assert isinstance(moved, Instances)
    assert (len(moved), moved.size, moved.masks) == (0, (90, 160), None if masks is None else ())


def test_a_box_of_a_letterboxed_picture_comes_back() -> None:
    placed = GEOMETRIES[0]
    box = np.array([[40, 20, 100, 70]], np.float32)
    moved = restore(Instances.of(placed.target, placed.boxes_to_input(box), [0]), placed)
    assert isinstance(moved, Instances)
    assert np.allclose(moved.boxes, box, atol=1e-4)


def test_label_maps_move() -> None:
    placed = GEOMETRIES[1]
    labels = np.full(placed.target, 3, np.uint8)
    moved = restore(labels, placed)
    assert isinstance(moved, np.ndarray)
    assert moved.shape == (90, 160)
    assert set(np.unique(moved)) == {3, 255}


def test_probabilities_stay() -> None:
    probabilities = np.array([0.2, 0.8], np.float32)
    assert restore(probabilities, GEOMETRIES[0]) is probabilities
