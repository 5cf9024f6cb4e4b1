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


def test_images_are_single_precision_of_the_declared_shape_from_0_to_1(digits: Digits) -> None:
    images = np.stack([digits.image(index) for index in range(len(digits))])
    assert images.dtype == np.float32
    assert images.shape == (1797, 1, 8, 8)
    assert (images.min(), images.max()) == (0.0, 1.0)


def test_the_hash_is_the_same_on_every_machine(digits: Digits) -> None:
    assert digits.content_hash() == "8b3b6ae90863430bdef06a3f7d1ec2f6a905a53d3375655b18cf63780ad98772"


def test_another_input_shape_is_refused_naming_both() -> None:
    with pytest.raises(DatasetError, match=r"\(1, 8, 8\), the model takes \(3, 32, 32\)"):
        open_dataset(DigitsSpec(), (3, 32, 32))
