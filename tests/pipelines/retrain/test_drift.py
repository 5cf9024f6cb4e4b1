from pathlib import Path

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import RetrainError
from edge_pipeline.pipelines.retrain.drift import (
    MOST,
    Predicted,
    read_predictions,
    shifts_of_pictures,
    shifts_of_predictions,
    some,
)
from edge_pipeline.pipelines.retrain.schedule import DriftSpec

SPEC = DriftSpec()


def pictures(seed: int, count: int = 80, add: int = 0, channel: int | None = None) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        one = np.clip(random.normal(random.normal(110, 15), 30, (12, 12, 3)), 0, 255)
        one[:, :, slice(None) if channel is None else channel] += add
        made.append(np.clip(one, 0, 255).astype(np.uint8))
    return made


def predicted(seed: int, shares: tuple[float, ...], score: float = 0.9, count: int = 300) -> Predicted:
    random = np.random.default_rng(seed)
    scores = np.clip(random.normal(score, 0.03, count), 0, 1)
    return Predicted(random.choice(len(shares), count, p=shares), scores)


def test_the_same_kind_of_pictures_does_not_drift() -> None:
    for seed in range(10):
        assert not [one for one in shifts_of_pictures(pictures(seed), pictures(100 + seed)) if one.drifted(SPEC)]


def test_brighter_pictures_drift_in_brightness() -> None:
    shifts = shifts_of_pictures(pictures(0), pictures(1, add=30))
    assert shifts[0].quantity == "brightness" and shifts[0].distance > 0.5 and shifts[0].drifted(SPEC)
    assert not [one for one in shifts if one.quantity in ("red", "green", "blue") and one.drifted(SPEC)]


def test_another_colour_drifts_in_that_colour() -> None:
    shifts = {one.quantity: one for one in shifts_of_pictures(pictures(0), pictures(1, add=40, channel=0))}
    assert shifts["red"].drifted(SPEC) and shifts["red"].distance > 0.9


def test_few_samples_or_a_small_move_are_no_drift() -> None:
    few = shifts_of_pictures(pictures(0), pictures(1, 8, add=5))
    assert not [one for one in few if one.drifted(SPEC)]
    many = shifts_of_pictures(pictures(0, 800), pictures(1, 800, add=5))
    brightness = next(one for one in many if one.quantity == "brightness")
    assert brightness.probability < SPEC.significance and not brightness.drifted(SPEC)


def test_grey_pictures_have_no_colours() -> None:
    grey = [one[:, :, :1] for one in pictures(0)]
    assert {one.quantity for one in shifts_of_pictures(grey, grey)} == {"brightness", "contrast", "sharpness"}


def test_other_classes_and_lower_scores_drift() -> None:
    known = predicted(0, (0.5, 0.3, 0.2))
    names = ("a", "b", "c")
    assert not [one for one in shifts_of_predictions(known, predicted(1, (0.5, 0.3, 0.2)), names) if one.drifted(SPEC)]
    classes = shifts_of_predictions(known, predicted(1, (0.1, 0.3, 0.6)), names)[0]
    assert classes.quantity == "classes" and classes.drifted(SPEC) and classes.distance == pytest.approx(0.4, abs=0.08)
    scores = shifts_of_predictions(known, predicted(1, (0.5, 0.3, 0.2), 0.7), names)[0]
    assert scores.quantity == "scores" and scores.drifted(SPEC)


def test_a_model_that_finds_nothing_any_more_has_drifted() -> None:
    nothing = Predicted.of([])
    assert shifts_of_predictions(predicted(0, (1.0,)), nothing, ("a",))[0].drifted(SPEC)
    assert not shifts_of_predictions(nothing, nothing, ("a",))[0].drifted(SPEC)


def test_predictions_of_both_tasks_are_gathered() -> None:
    boxes = Instances.of((4, 4), np.asarray([[0, 0, 2, 2], [1, 1, 3, 3]]), [1, 0], [0.5, 0.25], None)
    found = Predicted.of([boxes, np.asarray([0.1, 0.9], np.float32)])
    assert found.classes.tolist() == [1, 0, 1]
    assert found.scores.tolist() == pytest.approx([0.5, 0.25, 0.9])


def test_many_samples_are_drawn_always_the_same() -> None:
    assert some(3) == [0, 1, 2]
    assert len(set(some(10_000))) == MOST and some(10_000) == some(10_000)


def test_predictions_of_devices_are_read(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"class": "car", "score": 0.5}\n\n{"class": 0, "score": 1, "device": "rb3"}\n')
    found = read_predictions(str(path), ("tree", "car"))
    assert found.classes.tolist() == [1, 0] and found.scores.tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    "line",
    [
        '{"class": "bus", "score": 1}',
        '{"class": 2, "score": 1}',
        '{"class": 0}',
        "[1]",
        "{",
        '{"class": 0, "score": NaN}',
        '{"class": 0, "score": 7}',
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"class": 0, "score": 1}\n' + line + "\n")
    with pytest.raises(RetrainError, match=r"said\.jsonl, line 2"):
        read_predictions(str(path), ("tree", "car"))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RetrainError, match=r"Correct `drift\.on_device`"):
        read_predictions(str(tmp_path / "no.jsonl"), ("tree",))
