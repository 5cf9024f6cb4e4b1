import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.core.interface import Interface, Preprocessing, Raw
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.loading import Batch, batches, training_batches


@pytest.fixture(scope="module")
def interface(spec: ModelSpec) -> Interface:
    return recipes.interface(spec)


def test_batches_keep_the_order_and_the_last_may_be_smaller(digits: Digits, interface: Interface) -> None:
    found = list(batches(digits, interface, [5, 3, 9], 2))
    assert [one.indices for one in found] == [(5, 3), (9,)]
    pictures = np.stack([digits.picture(index) for index in (5, 3)]).transpose(0, 3, 1, 2)
    assert np.allclose(found[0].inputs[0], pictures / 255)


def test_pictures_are_read_only_when_their_batch_is_asked_for(digits: Digits, interface: Interface) -> None:
    found = batches(digits, interface, [0, 10**9], 1)
    next(found)
    with pytest.raises(IndexError):
        next(found)


def test_no_index_gives_no_batch(digits: Digits, interface: Interface) -> None:
    assert list(batches(digits, interface, [], 4)) == []


def read(samples: Any, interface: Interface, order: Sequence[int], workers: int, change: Any = None) -> list[Batch]:
    return list(training_batches(samples, interface, order, 4, workers=workers, epoch=3, change=change))


class Numbers:
    """Changes a picture to the number of the epoch plus that of the sample."""

    def __call__(self, picture: Any, truth: Any, epoch: int, index: int) -> tuple[Any, Any]:
        return np.full_like(picture, epoch + index), (truth, os.getpid())


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_read_does_not_depend_on_the_number_of_processes(
    digits: Digits, interface: Interface, workers: int
) -> None:
    found = read(digits, interface, range(10), workers, Numbers())
    assert [one.indices for one in found] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    values = [value for one in found for value in one.inputs[0][:, 0, 0, 0] * 255]
    assert values == pytest.approx([3 + index for index in range(10)], abs=1e-3)
    assert [truth for one in found for truth, _ in one.truths] == [digits.truth(index) for index in range(10)]
    assert len({pid for one in found for _, pid in one.truths}) == max(workers, 1)
    assert (os.getpid() in {pid for one in found for _, pid in one.truths}) == (workers == 0)


class Corrupt(Digits):
    """The digits, of which one cannot be read."""

    def picture(self, index: int) -> Any:
        if index == 6:
            raise DatasetError("cannot read the image six.jpg")
        return super().picture(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_in_the_middle_is_reported_in_its_own_words(interface: Interface, workers: int) -> None:
    with pytest.raises(DatasetError) as raised:
        read(Corrupt(1), interface, range(10), workers)
    assert str(raised.value) == "cannot read the image six.jpg"


class Large(Digits):
    """The digits, of which one is larger."""

    def picture(self, index: int) -> Any:
        return np.zeros((9, 8, 1), np.uint8) if index == 1 else super().picture(index)


def test_a_picture_of_another_size_is_refused_by_name_if_it_must_be_exact(interface: Interface) -> None:
    assert interface.preprocessing
    exact = interface.preprocessing.model_copy(update={"fit": "exact"})
    with pytest.raises(DatasetError, match="number 1 of the dataset cannot be used: it is 8x9 pixels, the model takes"):
        read(Large(1), interface.model_copy(update={"preprocessing": exact}), range(2), 0)


class Tensors:
    """Samples of two inputs."""

    def __init__(self, second: tuple[int, ...] = (2,)) -> None:
        self._second = second

    def inputs(self, index: int) -> tuple[Any, ...]:
        return np.full((3,), index, np.float64), np.zeros(self._second)

    def truth(self, index: int) -> Any:
        return np.float32(index)


TWO = Interface(
    inputs=(TensorSpec("a", (1, 3), "float32"), TensorSpec("b", (1, 2), "float32")),
    outputs=(TensorSpec("y", (1, 1), "float32"),),
    preprocessing=None,
    postprocessing=Raw(),
)


def test_samples_may_have_several_inputs_that_are_taken_as_they_are() -> None:
    (batch,) = read(Tensors(), TWO, [2, 1], 0)
    assert [one.shape for one in batch.inputs] == [(2, 3), (2, 2)]
    assert batch.inputs[0].dtype == np.float32
    assert batch.inputs[0][:, 0].tolist() == [2, 1]
    assert batch.geometries == (None, None)


def test_an_input_of_another_shape_is_refused_naming_both() -> None:
    with pytest.raises(DatasetError, match=r"sample 0 has inputs of shapes \[\(3,\), \(4,\)\], the model takes"):
        read(Tensors((4,)), TWO, [0], 0)


def test_preprocessing_is_what_the_interface_declares(digits: Digits, interface: Interface) -> None:
    other = Preprocessing(size=(4, 4), channels=1, mean=(0.5,), std=(0.25,), layout="nhwc")
    (batch,) = batches(digits, interface.model_copy(update={"preprocessing": other}), [0], 1)
    assert batch.inputs[0].shape == (1, 4, 4, 1)
    assert batch.inputs[0].min() >= -2
    assert batch.inputs[0].max() <= 2
