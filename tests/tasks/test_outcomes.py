"""What every test image came to gives the same metrics as measuring the images again, for any resample of them."""

import io
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.errors import StorageError
from edge_pipeline.tasks.base import evaluator
from edge_pipeline.tasks.outcomes import Outcomes, pack, recorder, unpack

CLASSES = ("a", "b", "c")
RANDOM = np.random.default_rng(5)


def labels(count: int) -> list[tuple[Any, Any]]:
    return [(RANDOM.dirichlet([1, 1, 1]), int(RANDOM.integers(0, 2))) for _ in range(count)]


def label_maps(count: int) -> list[tuple[Any, Any]]:
    truths = [RANDOM.choice([0, 1, IGNORED_LABEL], (6, 7)).astype(np.uint8) for _ in range(count)]
    return [(np.where(RANDOM.random((6, 7)) < 0.6, one, IGNORED_LABEL).astype(np.uint8), one) for one in truths]


def boxes(count: int, masks: bool = False) -> list[tuple[Any, Any]]:
    pairs = []
    for _ in range(count):
        size = int(RANDOM.integers(1, 7))
        corners = RANDOM.integers(0, 50, (size, 2))
        truth = np.concatenate([corners, corners + RANDOM.integers(4, 40, (size, 2))], 1).astype(np.float32)
        kinds, crowd = RANDOM.integers(0, 2, size), RANDOM.random(size) < 0.2
        found = np.concatenate([truth + RANDOM.normal(0, 2, truth.shape), truth + RANDOM.normal(0, 6, truth.shape)])
        found = np.clip(found, 0, 96)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        named = np.concatenate([kinds, RANDOM.integers(0, 3, size)])
        drawn = [None, None]
        if masks:
            drawn = [np.zeros((len(side), 96, 96), np.uint8) for side in (found, truth)]
            for dense, side in zip(drawn, (found, truth), strict=True):
                for layer, (x0, y0, x1, y1) in zip(dense, side.astype(int), strict=True):
                    layer[y0:y1, x0:x1] = 1
        scores = RANDOM.random(len(found))
        pairs.append(
            (
                Instances.of((96, 96), found, named, scores, drawn[0]),
                Instances.of((96, 96), truth, kinds, None, drawn[1], crowd),
            )
        )
    return pairs


CASES = {
    "classification": labels,
    "semantic_segmentation": label_maps,
    "detection": boxes,
    "instance_segmentation": lambda count: boxes(count, masks=True),
}


def outcomes(task: str, pairs: list[tuple[Any, Any]]) -> Outcomes:
    kept = recorder(task, CLASSES)
    assert kept
    for index, pair in enumerate(pairs):
        kept.add(100 + index, *pair)
    return unpack(pack(kept), task, CLASSES)


def measured(task: str, pairs: list[tuple[Any, Any]]) -> dict[str, float]:
    judge = evaluator(task, CLASSES)
    for pair in pairs:
        judge.add(*pair)
    return judge.metrics()


@pytest.mark.parametrize("task", CASES)
def test_any_resample_measures_as_the_images_themselves(task: str) -> None:
    pairs = CASES[task](25)
    kept = outcomes(task, pairs)
    assert kept.images.tolist() == list(range(100, 125))
    for weights in (np.ones(25, np.int64), *(np.bincount(RANDOM.integers(0, 25, 25), minlength=25) for _ in range(8))):
        repeated = [pair for pair, times in zip(pairs, weights, strict=True) for _ in range(times)]
        found, expected = kept.metrics(weights), measured(task, repeated)
        assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-9)
        parts = ("recall_", "ap_", "ap50_", "iou_", "mask_ap_", "mask_ap50_")
        lacking = {name for name in expected if name.startswith(parts) and name != "recall_100"} - set(found)
        assert not lacking


@pytest.mark.parametrize("task", CASES)
def test_some_of_the_images_measure_as_those_alone(task: str) -> None:
    pairs = CASES[task](12)
    chosen = np.array([7, 2, 9, 3])
    part = outcomes(task, pairs).take(chosen)
    assert part.images.tolist() == [107, 102, 109, 103]
    found = part.metrics(np.ones(4, np.int64))
    expected = measured(task, [pairs[i] for i in chosen])
    assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-9)


def test_images_without_any_prediction_count() -> None:
    pairs = [(one.take([]), truth) for one, truth in boxes(3)]
    assert outcomes("detection", pairs).metrics(np.ones(3, np.int64))["map50"] == 0


def test_a_custom_task_has_no_outcomes() -> None:
    assert recorder("custom", ()) is None


@pytest.mark.parametrize("content", [b"", b"nothing", pack(recorder("classification", CLASSES))[:-9]])
def test_what_is_no_such_file_is_refused(content: bytes) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        unpack(content, "classification", CLASSES)


def test_a_file_that_grows_beyond_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.zeros(2_000_000, np.int64))
    monkeypatch.setattr("edge_pipeline.tasks.outcomes.LARGEST", 1_000_000)
    with pytest.raises(StorageError, match="more than 1000000"):
        unpack(buffer.getvalue(), "classification", CLASSES)


def test_objects_and_columns_that_do_not_fit_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=np.arange(3), label=np.arange(2), named=np.arange(2), top5=np.arange(2))
    with pytest.raises(StorageError, match="cannot be read"):
        unpack(buffer.getvalue(), "classification", CLASSES)
