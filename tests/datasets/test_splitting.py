from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.split import split_samples


class Labelled(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.labels)


def labelled(*counts: int) -> Any:
    """Samples without images: `counts` of each class."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    names = tuple(f"class{label}" for label in range(len(counts)))
    return Labelled(classes=names, labels=labels, parts=None, content_hash=lambda: "hash")


@pytest.fixture(scope="module")
def split(digits: Digits) -> Split:
    return split_samples(digits, seed=0, validation=0.15, test=0.2)


def test_the_parts_are_disjoint_and_complete(split: Split) -> None:
    assert sorted(split.train + split.validation + split.test) == list(range(1797))


def test_the_parts_have_the_sizes_asked_for(split: Split) -> None:
    assert len(split.validation) == pytest.approx(0.15 * 1797, abs=1)
    assert len(split.test) == pytest.approx(0.2 * 1797, abs=1)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_class_is_in_every_part_in_proportion(split: Split, digits: Digits, part: str) -> None:
    indices = getattr(split, part)
    found = Counter(digits.labels[index] for index in indices)
    whole = Counter(digits.labels)
    for label, count in whole.items():
        assert found[label] == pytest.approx(count * len(indices) / 1797, abs=1.5)


def test_the_seed_fixes_the_split(split: Split, digits: Digits) -> None:
    assert split_samples(digits, seed=0, validation=0.15, test=0.2) == split


def test_another_seed_gives_another_split(split: Split, digits: Digits) -> None:
    other = split_samples(digits, seed=1, validation=0.15, test=0.2)
    assert other.seed == 1
    assert other.test != split.test
    assert other.validation != split.validation


def test_the_split_names_its_dataset(split: Split, digits: Digits) -> None:
    assert split.dataset_hash == digits.content_hash()
    assert split.classes == digits.classes


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_class_of_fewer_than_three_images_is_refused_by_name(count: int) -> None:
    with pytest.raises(DatasetError, match=f"class 'class1' has {count} images; at least 3"):
        split_samples(labelled(50, count), seed=0, validation=0.2, test=0.2)


def test_too_few_images_for_the_shares_are_refused() -> None:
    with pytest.raises(DatasetError, match="6 images cannot be divided"):
        split_samples(labelled(3, 3), seed=0, validation=0.1, test=0.1)


@pytest.mark.parametrize("counts", [(100, 3), (50, 50, 3), (1000, 3)], ids=str)
def test_a_small_class_is_in_every_part_or_refused(counts: tuple[int, ...]) -> None:
    samples = labelled(*counts)
    try:
        found = split_samples(samples, seed=0, validation=0.15, test=0.2)
    except DatasetError:
        return
    for part in (found.train, found.validation, found.test):
        assert {samples.labels[index] for index in part} == set(range(len(counts)))


def pictures(count: int, **parts: range) -> Any:
    """Samples that have no one class each."""
    return Labelled(classes=("a",), labels=None, parts=parts or None, content_hash=lambda: "hash", count=count)


class Unlabelled(Labelled):
    def __len__(self) -> int:
        return int(self.count)


def test_samples_without_one_class_each_are_divided_at_random() -> None:
    samples = Unlabelled(**vars(pictures(100)))
    found = split_samples(samples, seed=0, validation=0.15, test=0.2)
    assert sorted(found.train + found.validation + found.test) == list(range(100))
    assert (len(found.validation), len(found.test)) == (15, 20)
    assert found == split_samples(samples, seed=0, validation=0.15, test=0.2)


def test_the_parts_of_the_dataset_itself_are_kept() -> None:
    parts = {"train": range(50), "validation": range(50, 70), "test": range(70, 100)}
    found = split_samples(Unlabelled(**vars(pictures(100, **parts))), seed=0, validation=0.15, test=0.2)
    assert (found.train, found.validation, found.test) == tuple(tuple(part) for part in parts.values())


def test_a_part_that_the_dataset_lacks_is_cut_from_its_training_part() -> None:
    samples = Unlabelled(**vars(pictures(100, train=range(80), test=range(80, 100))))
    found = split_samples(samples, seed=0, validation=0.25, test=0.2)
    assert found.test == tuple(range(80, 100))
    assert sorted(found.train + found.validation) == list(range(80))
    assert len(found.validation) == 20


def test_too_few_samples_for_three_parts_are_refused() -> None:
    with pytest.raises(DatasetError, match="2 images to divide into 3 parts"):
        split_samples(Unlabelled(**vars(pictures(2))), seed=0, validation=0.15, test=0.2)
