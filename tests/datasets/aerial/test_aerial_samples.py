import pickle
import time

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.aerial import (
    OBJECT_CLASSES,
    PLACES,
    SURFACE_CLASSES,
    AerialScenes,
    AerialSettings,
    render,
)

SETTINGS = AerialSettings(40, 7, (96, 96))


def test_classification_gives_the_place() -> None:
    samples = AerialScenes(SETTINGS, "classification")
    assert samples.classes == PLACES and samples.parts is None and len(samples) == 40
    assert samples.labels is not None
    assert [samples.labels[i] for i in range(8)] == [render(SETTINGS, i).place for i in range(8)]
    assert samples.truth(5) == samples.labels[5] and type(samples.truth(5)) is int


def test_places_of_many_scenes_are_known_without_rendering() -> None:
    start = time.process_time()
    labels = AerialScenes(AerialSettings(100_000, 7, (640, 640)), "classification").labels
    assert time.process_time() - start < 1
    assert labels is not None and len(labels) == 100_000
    assert np.bincount(np.asarray(labels)).min() > 16_000


def test_detection_gives_boxes_and_instance_segmentation_masks_too() -> None:
    boxes = AerialScenes(SETTINGS, "detection").truth(1)
    masks = AerialScenes(SETTINGS, "instance_segmentation").truth(1)
    assert isinstance(boxes, Instances) and isinstance(masks, Instances)
    assert boxes.masks is None and masks.masks is not None and len(masks) > 0
    assert np.array_equal(boxes.boxes, masks.boxes) and np.array_equal(boxes.classes, masks.classes)
    assert AerialScenes(SETTINGS, "detection").classes == OBJECT_CLASSES


def test_semantic_segmentation_gives_a_map() -> None:
    samples = AerialScenes(SETTINGS, "semantic_segmentation")
    assert samples.classes == SURFACE_CLASSES and samples.labels is None
    assert np.array_equal(samples.truth(2), render(SETTINGS, 2).labels)


def test_what_is_returned_may_be_changed() -> None:
    samples = AerialScenes(SETTINGS, "semantic_segmentation")
    before = samples.picture(2).copy()
    samples.picture(2)[:] = 0
    truth = samples.truth(2)
    assert isinstance(truth, np.ndarray)
    truth[:] = 9
    assert np.array_equal(samples.picture(2), before)
    assert np.max(samples.truth(2)) != 9  # type: ignore[arg-type]


def test_samples_can_be_sent_to_another_process() -> None:
    samples = AerialScenes(SETTINGS, "detection")
    copy = pickle.loads(pickle.dumps(samples))
    assert np.array_equal(copy.picture(3), samples.picture(3))
    assert copy.content_hash() == samples.content_hash()


def test_the_content_hash_follows_the_content() -> None:
    def content(task: str = "detection", **changed: object) -> str:
        values = {"count": 40, "seed": 7, "size": (96, 96), "altitudes": (40.0, 100.0), **changed}
        return AerialScenes(AerialSettings(**values), task).content_hash()  # type: ignore[arg-type]

    assert content() == content() and len(content()) == 64
    others = [
        content("classification"),
        content(count=41),
        content(seed=8),
        content(size=(96, 97)),
        content(altitudes=(41.0, 100.0)),
    ]
    assert len({content(), *others}) == 6


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(DatasetError, match="no labels for task 'detect': did you mean 'detection'"):
        AerialScenes(SETTINGS, "detect")


@pytest.mark.parametrize("index", [-1, 40])
def test_a_scene_that_is_not_there_is_refused(index: int) -> None:
    samples = AerialScenes(SETTINGS, "semantic_segmentation")
    with pytest.raises(DatasetError, match=f"no aerial scene {index}: the dataset has 40"):
        samples.picture(index)
    with pytest.raises(DatasetError, match=f"no aerial scene {index}"):
        samples.truth(index)
