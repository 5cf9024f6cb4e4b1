"""Divide a dataset into train, validation and test: disjoint, fixed by a seed, classes in proportion."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.base import Samples

Indices = NDArray[np.int64]


def split_samples(samples: Samples, *, seed: int, validation: float, test: float) -> Split:
    """Return disjoint index lists, with every class in every part in proportion where samples have one class each.

    Parts that the dataset itself has are kept; those that it lacks are cut from its `train`. Samples that it lists as
    `added` are for training, and change nothing of the other parts.

    Args:
        samples: the labelled dataset.
        seed: fixes the choice.
        validation: share of what is divided, 0 to 1.
        test: share of what is divided, 0 to 1.

    Raises:
        DatasetError: a class, or the whole, has too few samples to be in every part.
    """
    own = {name: np.asarray(part, np.int64) for name, part in (samples.parts or {}).items() if len(part)}
    added = np.asarray(getattr(samples, "added", ()), np.int64)
    rest = own.get("train", np.arange(len(samples) - len(added), dtype=np.int64))
    shares = {name: share for name, share in (("test", test), ("validation", validation)) if name not in own}
    labels = None if samples.labels is None else np.asarray(samples.labels)
    _check_counts(samples, rest, labels, 1 + len(shares))
    parts, left = dict(own), 1.0
    for name, share in shares.items():
        rest, parts[name] = _cut(rest, share / left, seed, labels)
        left -= share
    parts["train"] = np.concatenate([rest, added])
    if labels is not None:
        _check_classes(samples, parts, labels)
    train, val, tst = (tuple(sorted(parts[name].tolist())) for name in ("train", "validation", "test"))
    return Split(samples.content_hash(), seed, samples.classes, train, val, tst)


def balanced_subset(samples: Samples, indices: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """Return `count` of `indices`, fixed by `seed`; all of them if there are fewer.

    Where samples have one class each, the classes are taken in turn.
    """
    order = np.random.default_rng(seed).permutation(np.asarray(indices, np.int64))
    if samples.labels is None:
        return tuple(order[:count].tolist())
    by_class: dict[int, list[int]] = {}
    for index in order.tolist():
        by_class.setdefault(samples.labels[index], []).append(index)
    queues = [by_class[label] for label in sorted(by_class)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(indices)):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop())
    return tuple(chosen)


def _cut(rest: Indices, share: float, seed: int, labels: NDArray[np.int64] | None) -> tuple[Indices, Indices]:
    from sklearn.model_selection import train_test_split

    try:
        kept, part = train_test_split(
            rest, test_size=share, random_state=seed, stratify=None if labels is None else labels[rest]
        )
    except ValueError as error:
        raise DatasetError(f"{len(rest)} images cannot be divided: {error}") from error
    return kept, part


def _check_counts(samples: Samples, rest: Indices, labels: NDArray[np.int64] | None, least: int) -> None:
    if len(rest) < least:
        raise DatasetError(f"the dataset has {len(rest)} images to divide into {least} parts; add images")
    if labels is None:
        return
    counts = np.bincount(labels[rest], minlength=len(samples.classes))
    for name, count in zip(samples.classes, counts, strict=True):
        if count < least:
            raise DatasetError(
                f"class '{name}' has {count} images; at least {least} are needed, one each for train, validation and "
                "test"
            )


def _check_classes(samples: Samples, parts: dict[str, Indices], labels: NDArray[np.int64]) -> None:
    counts = np.bincount(labels, minlength=len(samples.classes))
    own = samples.parts or {}
    for name in ("train", "validation", "test"):
        missing = set(range(len(counts))) - set(labels[parts[name]].tolist())
        if missing and name not in own:
            label = min(missing)
            raise DatasetError(
                f"class '{samples.classes[label]}' has {counts[label]} images, too few for one of them to be in the "
                f"{name} part; add images, or change `split.validation` and `split.test`"
            )
