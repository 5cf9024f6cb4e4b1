import numpy as np
import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.base import batches, stack
from edge_pipeline.datasets.digits import Digits


def test_batches_keep_the_order_and_the_last_may_be_smaller(digits: Digits) -> None:
    found = list(batches(digits, [5, 3, 9], 2))
    assert [len(labels) for _, labels in found] == [2, 1]
    assert np.concatenate([labels for _, labels in found]).tolist() == [digits.labels[i] for i in (5, 3, 9)]
    assert np.array_equal(np.concatenate([images for images, _ in found]), stack(digits, [5, 3, 9]))


def test_images_are_read_only_when_their_batch_is_asked_for(digits: Digits) -> None:
    found = batches(digits, [0, 10**9], 1)
    next(found)
    with pytest.raises(IndexError):
        next(found)


def test_no_index_gives_no_batch_but_no_stack(digits: Digits) -> None:
    assert list(batches(digits, [], 4)) == []
    with pytest.raises(DatasetError, match="the set is empty"):
        stack(digits, [])
