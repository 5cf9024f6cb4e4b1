"""Whether a difference from earlier results is more than noise."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.types import Artifact, Failure
from edge_pipeline.pipelines.compare.changes import FEWEST_IMAGES, Change, changes, interval
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.validate.outputs import OUTCOMES
from edge_pipeline.tasks.confidence import wilson_95

Make = Callable[..., TargetResults]
IMAGES = 200


def named(wrong: Sequence[int] | set[int], count: int = IMAGES) -> list[tuple[Any, Any]]:
    """Return classifications of which some are wrong; the classes a and b take turns."""
    sure = np.eye(2)
    return [(sure[1 - i % 2 if i in wrong else i % 2], i % 2) for i in range(count)]


def found(objects: Sequence[int], met: Sequence[bool]) -> list[tuple[Any, Any]]:
    """Return detections of images with so many objects each, of which all are found or none is."""
    pairs = []
    for number, hit in zip(objects, met, strict=True):
        corners = np.stack([np.arange(number) * 5.0, np.zeros(number)], 1)
        boxes = np.concatenate([corners, corners + 4], 1).astype(np.float32)
        kinds = np.zeros(number, np.int64)
        truth = Instances.of((2000, 2000), boxes, kinds, None, None, np.zeros(number, bool))
        moved = boxes if hit else boxes + np.asarray([0, 1000, 0, 1000], np.float32)
        pairs.append((Instances.of((2000, 2000), moved, kinds, np.full(number, 0.9)), truth))
    return pairs


def drawn(medians: Sequence[float], seed: int = 0, count: int = 200) -> list[list[float]]:
    """Return the times of repeats that have these medians."""
    generator = np.random.default_rng(seed)
    return [(median * generator.lognormal(0, 0.05, count)).tolist() for median in medians]


def change(mine: TargetResults, other: TargetResults, name: str = "accuracy") -> Change:
    return changes(mine, other, [name])[name]


def test_one_image_more_or_less_is_no_difference(by_hand: Make) -> None:
    one = change(by_hand(pairs=named({0, 1, 2, 3, 9})), by_hand(pairs=named({0, 1, 2, 3})))
    assert one.verdict == "no difference shown"
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.after - one.before == pytest.approx(-0.005)
    assert one.high == 0
    assert one.basis == "400 resamples of the same 200 test images"


@pytest.mark.parametrize(("mine", "other", "verdict"), [(30, 6, "worse"), (6, 30, "better")])
def test_a_real_drop_is_worse_and_a_real_gain_better(by_hand: Make, mine: int, other: int, verdict: str) -> None:
    one = change(by_hand(pairs=named(range(mine))), by_hand(pairs=named(range(other))))
    assert one.verdict == verdict
    assert (one.before, one.after) == (1 - other / IMAGES, 1 - mine / IMAGES)
    assert one.low is not None
    assert one.high is not None
    assert one.low < (other - mine) / IMAGES < one.high
    assert one.high - one.low < 0.1


def test_the_same_images_tell_more_than_others_do(by_hand: Make) -> None:
    mine, other = named({*range(40), 190, 191, 192, 193, 194, 195, 196}), named(range(40))
    paired = change(by_hand(pairs=mine), by_hand(pairs=other))
    apart = change(by_hand(pairs=mine), by_hand(pairs=other, dataset="another"))
    assert (paired.verdict, apart.verdict) == ("worse", "no difference shown")
    assert apart.basis == "400 resamples of 200 test images, the other one's are others"


def test_only_the_images_common_to_both_are_compared(by_hand: Make) -> None:
    mine = by_hand(pairs=named(range(50), 100), images=range(50, 150))
    other = by_hand(pairs=named(range(50), 100))
    one = change(mine, other)
    assert one.basis == "400 resamples of the same 50 test images"
    assert (one.before, one.after, one.verdict) == (1.0, 0.0, "worse")


def test_a_class_that_was_lost_is_shown_though_the_whole_hardly_moves(by_hand: Make) -> None:
    rare = range(1, 24, 2)
    pairs = [pair for i, pair in enumerate(named(())) if i % 2 == 0 or i in rare]
    lost = [(1 - p if truth == 1 else p, truth) for p, truth in pairs]
    assert change(by_hand(pairs=lost), by_hand(pairs=pairs), "recall_b").verdict == "worse"
    assert change(by_hand(pairs=lost), by_hand(pairs=pairs), "recall_a").verdict == "no difference shown"


def test_detection_is_resampled_by_image_not_by_object(by_hand: Make) -> None:
    objects = [200, *[1] * 59]
    fixed = {"task": "detection", "classes": ("a",)}
    before = by_hand(pairs=found(objects, [True] * 60), **fixed)
    one_image = by_hand(pairs=found(objects, [False, *[True] * 59]), **fixed)
    many = by_hand(pairs=found(objects, [True, *[False] * 30, *[True] * 29]), **fixed)
    crowd = change(one_image, before, "map50")
    assert crowd.after < 0.5  # most objects are lost, but all of them in one image
    assert crowd.verdict == "no difference shown"
    spread = change(many, before, "map50")
    assert spread.after > crowd.after
    assert spread.verdict == "worse"


def test_processes_that_differ_are_no_regression(by_hand: Make) -> None:
    one = change(by_hand(times=drawn([1.06, 1.03], 1)), by_hand(times=drawn([1.0, 1.02], 2)), "latency_p50_ms")
    assert one.relative
    assert one.verdict == "no difference shown"
    assert "2 repeats" in one.basis


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "worse"), (0.8, "better")])
def test_latency_beyond_what_processes_differ_is_told(by_hand: Make, factor: float, verdict: str) -> None:
    mine = by_hand(times=drawn([factor, factor * 1.01], 1))
    one = change(mine, by_hand(times=drawn([1.0, 1.01], 2)), "latency_p50_ms")
    assert one.verdict == verdict
    assert one.low is not None
    assert one.high is not None
    assert one.low < factor < one.high


def test_noise_of_processes_is_seldom_called_a_difference(by_hand: Make) -> None:
    generator = np.random.default_rng(3)
    said = []
    for seed in range(30):
        sides = [drawn(np.exp(generator.normal(0, 0.05, 2)).tolist(), 2 * seed + i, 40) for i in (0, 1)]
        one = change(by_hand(times=sides[0]), by_hand(times=sides[1]), "latency_p50_ms")
        said.append(one.verdict != "no difference shown")
    assert sum(said) <= 4  # 1.5 are expected of 95% intervals


def test_a_single_process_does_not_tell_how_far_processes_differ(by_hand: Make) -> None:
    one = change(by_hand(times=drawn([1.2], 1)), by_hand(times=drawn([1.0], 2)), "latency_p50_ms")
    assert one.verdict == "worse"
    assert "how far processes differ is not known" in one.basis


def test_without_single_times_nothing_is_said_of_latency(by_hand: Make) -> None:
    lacking = by_hand(times=(), latency_p50_ms=1.5)
    one = change(lacking, by_hand(), "latency_p50_ms")
    assert (one.before, one.after, one.low, one.high, one.verdict) == (1.0, 1.5, None, None, "")
    assert one.basis == "the single times are not kept of both"


@pytest.mark.parametrize("damage", ["absent", "no predictions", "damaged"])
def test_without_outcomes_values_are_shown_without_a_verdict(by_hand: Make, damage: str) -> None:
    good = by_hand(pairs=named(()))
    files = {} if damage == "absent" else {OUTCOMES: b"PK changed"}
    bad = replace(good, predictions=None if damage == "no predictions" else Artifact("predictions", files, {}))
    for one in (change(good, bad), change(bad, good)):
        assert (one.before, one.after, one.low, one.verdict) == (1.0, 1.0, None, "")
        assert one.basis == "the outcomes of single test images are not kept of both"
    assert interval(bad) is None


def test_few_images_tell_nothing_of_noise(by_hand: Make) -> None:
    few = named((), FEWEST_IMAGES - 1)
    one = change(by_hand(pairs=few), by_hand(pairs=few))
    assert (one.verdict, one.low) == ("", None)
    assert one.basis == "only 19 test images are common to both, at least 20 are needed"
    one = change(by_hand(pairs=few), by_hand(pairs=few, dataset="another"))
    assert one.basis == "there are only 19 test images, at least 20 are needed"


def test_a_metric_that_nothing_tells_the_noise_of_has_no_verdict(by_hand: Make) -> None:
    one = change(by_hand(pairs=named(()), cost=3.0), by_hand(pairs=named(()), cost=2.0), "cost")
    assert (one.before, one.after, one.verdict, one.basis) == (2.0, 3.0, "", "nothing tells its noise")


def test_what_only_one_has_or_is_not_finite_is_no_change(by_hand: Make) -> None:
    mine = by_hand(pairs=named(()), cost=1.0, energy_mj=float("nan"))
    other = by_hand(pairs=named(()), energy_mj=2.0)
    assert changes(mine, other, ["cost", "energy_mj", "nothing"]) == {}
    assert changes(replace(mine, results=(Failure("profile", "x", "it burned"),)), other) == {}


def test_the_same_results_give_the_same_intervals(by_hand: Make) -> None:
    sides = by_hand(pairs=named(range(5)), times=drawn([1, 1.1])), by_hand(pairs=named(range(9)))
    assert changes(*sides) == changes(*sides)


def test_the_interval_of_a_proportion_is_wilsons_and_of_a_mean_precision_a_bootstrap(by_hand: Make) -> None:
    assert interval(by_hand(pairs=named(range(10)))) == wilson_95(190, 200)
    pairs = found([2] * 30, [i % 3 > 0 for i in range(30)])
    ends = interval(by_hand(pairs=pairs, task="detection", classes=("a",)))
    assert ends is not None
    assert 0 < ends[0] < 0.6 < ends[1] < 1
