from collections import Counter

import pytest

from edge_pipeline.core.types import Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.split import balanced_subset


def test_every_class_is_chosen_equally_often(digits: Digits, small_split: Split) -> None:
    chosen = balanced_subset(digits, small_split.train, 50, 0)
    assert Counter(digits.labels[index] for index in chosen) == dict.fromkeys(range(10), 5)


@pytest.mark.parametrize("count", [1, 7, 99])
def test_as_many_as_asked_for_are_chosen_from_the_given_ones_without_repetition(
    digits: Digits, small_split: Split, count: int
) -> None:
    chosen = balanced_subset(digits, small_split.train, count, 0)
    assert len(chosen) == len(set(chosen)) == count
    assert set(chosen) <= set(small_split.train)


def test_the_seed_fixes_the_choice(digits: Digits, small_split: Split) -> None:
    first, again, other = (balanced_subset(digits, small_split.train, 20, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_all_are_chosen_when_there_are_fewer(digits: Digits, small_split: Split) -> None:
    assert sorted(balanced_subset(digits, small_split.test, 10_000, 0)) == sorted(small_split.test)


def test_a_rare_class_does_not_keep_others_from_filling_up(digits: Digits) -> None:
    zeros = [index for index, label in enumerate(digits.labels) if label == 0][:2]
    ones = [index for index, label in enumerate(digits.labels) if label == 1][:50]
    chosen = balanced_subset(digits, (*zeros, *ones), 20, 0)
    assert Counter(digits.labels[index] for index in chosen) == {0: 2, 1: 18}


def test_nothing_to_choose_from_gives_nothing(digits: Digits) -> None:
    assert balanced_subset(digits, (), 5, 0) == ()
