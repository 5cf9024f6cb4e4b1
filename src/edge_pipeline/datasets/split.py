"""Cut a dataset into train, validation and test: stratified, disjoint, fixed by a seed."""

import numpy as np

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.base import Samples


def split_samples(samples: Samples, *, seed: int, validation: float, test: float) -> Split:
    """Return disjoint index lists with every class in every part in proportion.

    Args:
        samples: the labelled dataset.
        seed: fixes the choice.
        validation: share of all samples, 0 to 1.
        test: share of all samples, 0 to 1.

    Raises:
        DatasetError: a class has too few samples to be in every part.
    """
    from sklearn.model_selection import train_test_split

    labels = np.asarray(samples.labels)
    counts = np.bincount(labels, minlength=len(samples.classes))
    for name, count in zip(samples.classes, counts, strict=True):
        if count < 3:
            raise DatasetError(
                f"class '{name}' has {count} images; at least 3 are needed, one each for train, validation and test"
            )
    try:
        rest, test_part = train_test_split(np.arange(len(labels)), test_size=test, random_state=seed, stratify=labels)
        train_part, validation_part = train_test_split(
            rest, test_size=validation / (1 - test), random_state=seed, stratify=labels[rest]
        )
    except ValueError as error:
        raise DatasetError(f"{len(labels)} images cannot be split: {error}") from error
    for name, part in (("train", train_part), ("validation", validation_part), ("test", test_part)):
        missing = set(range(len(counts))) - set(labels[part].tolist())
        if missing:
            label = min(missing)
            raise DatasetError(
                f"class '{samples.classes[label]}' has {counts[label]} images, too few for one of them to be in the "
                f"{name} part; add images, or change `split.validation` and `split.test`"
            )
    train, val, tst = (tuple(sorted(int(i) for i in part)) for part in (train_part, validation_part, test_part))
    return Split(samples.content_hash(), seed, samples.classes, train, val, tst)


def stratified_subset(samples: Samples, indices: tuple[int, ...], count: int, seed: int) -> tuple[int, ...]:
    """Return `count` of `indices`, the classes taken in turn, fixed by `seed`. All of them if there are fewer."""
    generator = np.random.default_rng(seed)
    by_class: dict[int, list[int]] = {}
    for index in generator.permutation(np.asarray(indices, np.int64)):
        by_class.setdefault(samples.labels[int(index)], []).append(int(index))
    queues = [by_class[label] for label in sorted(by_class)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(indices)):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return tuple(chosen)
