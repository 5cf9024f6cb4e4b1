from collections import Counter

import numpy as np
import pytest

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.base import open_dataset
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.spec import DigitsSpec


def test_there_are_1797_images_of_ten_classes(digits: Digits) -> None:
    assert len(digits) == len(digits.labels) == 1797
    assert digits.classes == tuple("0123456789")
    assert set(Counter(digits.labels)) == set(range(10))


def test_pictures_are_grey_bytes_over_the_whole_range(digits: Digits) -> None:
    pictures = np.stack([digits.picture(index) for index in range(len(digits))])
    assert pictures.dtype == np.uint8
    assert pictures.shape == (1797, 8, 8, 1)
    assert (pictures.min(), pictures.max()) == (0, 255)
    assert len(np.unique(pictures)) == 17


def test_the_hash_is_the_same_on_every_machine(digits: Digits) -> None:
    assert digits.content_hash() == "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"


def test_a_model_that_takes_colours_is_refused() -> None:
    with pytest.raises(DatasetError, match="the digits are grey, 1 channel; the model takes 3"):
        open_dataset(DigitsSpec(), "classification", 3)
