import numpy as np
import pytest

from edge_pipeline.core.annotations import IGNORED_LABEL, encode_masks
from edge_pipeline.datasets.aerial import OBJECT_CLASSES, PLACES, SURFACE_CLASSES, AerialSettings, Scene, render
from edge_pipeline.datasets.aerial.labels import LEAST_PIXELS, LEAST_VISIBLE, label

VEHICLE, PERSON = SURFACE_CLASSES.index("vehicle"), SURFACE_CLASSES.index("person")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    settings = AerialSettings(1000, 3, (192, 224))
    return [render(settings, i) for i in range(30)]


def test_the_semantic_map_and_the_masks_agree(scenes: list[Scene]) -> None:
    for scene in scenes:
        masks = scene.instances.dense_masks()
        people = scene.instances.classes == OBJECT_CLASSES.index("person")
        assert np.array_equal(scene.labels == VEHICLE, masks[~people].any(0))
        assert np.array_equal(scene.labels == PERSON, masks[people].any(0))
        assert masks.sum(0).max(initial=0) <= 1


def test_every_box_is_tight_around_its_mask(scenes: list[Scene]) -> None:
    for scene in scenes:
        for box, mask in zip(scene.instances.boxes, scene.instances.dense_masks(), strict=True):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert len(rows) >= LEAST_PIXELS


def test_masks_are_encoded_as_from_dense_ones(scenes: list[Scene]) -> None:
    for scene in scenes[:12]:
        expected = encode_masks(scene.instances.dense_masks())
        assert [m["counts"] for m in scene.instances.masks or ()] == [m["counts"] for m in expected]


def test_a_mask_in_the_last_corner_is_encoded() -> None:
    owner = np.zeros((20, 30), np.int32)
    owner[14:, 25:] = 1
    found, _ = label(["car"], [30], owner, np.zeros((20, 30), np.uint8))
    assert np.array_equal(found.dense_masks()[0], owner == 1)
    assert found.masks is not None and found.masks[0]["counts"] == encode_masks((owner == 1)[None])[0]["counts"]


def test_the_map_holds_only_surface_classes_and_ignored_pixels(scenes: list[Scene]) -> None:
    values = set(np.unique(np.stack([scene.labels for scene in scenes])).tolist())
    assert values == set(range(len(SURFACE_CLASSES))) | {IGNORED_LABEL}


@pytest.mark.parametrize(
    ("pixels", "area", "kept"),
    [
        (40, 40, True),
        (LEAST_PIXELS, LEAST_PIXELS, True),
        (LEAST_PIXELS - 1, LEAST_PIXELS - 1, False),
        (40, int(40 / LEAST_VISIBLE), True),
        (40, int(40 / LEAST_VISIBLE) + 1, False),
    ],
)
def test_small_and_hidden_objects_are_ignored(pixels: int, area: int, kept: bool) -> None:
    owner = np.zeros((16, 16), np.int32)
    owner.flat[:pixels] = 1
    surface = np.full((16, 16), VEHICLE, np.uint8)
    found, labels = label(["bus"], [area], owner, surface)
    assert found.classes.tolist() == ([OBJECT_CLASSES.index("bus")] if kept else [])
    assert (labels == IGNORED_LABEL).sum() == (0 if kept else pixels)
    assert (surface == VEHICLE).all()


@pytest.mark.slow
def test_each_class_and_each_place_occurs_often_enough() -> None:
    settings = AerialSettings(1000, 11, (128, 128))
    objects, surfaces, places = np.zeros(5), np.zeros(7), np.zeros(6)
    for i in range(200):
        scene = render(settings, i)
        objects += np.bincount(scene.instances.classes, minlength=5) > 0
        surfaces += np.bincount(scene.labels.ravel(), minlength=256)[:7] > 50
        places[scene.place] += 1
    assert dict(zip(OBJECT_CLASSES, objects >= 12, strict=True)) == dict.fromkeys(OBJECT_CLASSES, True)
    assert dict(zip(SURFACE_CLASSES, surfaces >= 24, strict=True)) == dict.fromkeys(SURFACE_CLASSES, True)
    assert dict(zip(PLACES, places >= 20, strict=True)) == dict.fromkeys(PLACES, True)
