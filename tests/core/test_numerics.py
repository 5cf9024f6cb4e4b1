import numpy as np
import pytest

from edge_pipeline.core.numerics import max_difference, sqnr_db


@pytest.mark.parametrize(
    ("reference", "actual", "expected"),
    [
        ([1.0], [0.9], 20.0),
        ([10.0, 0.0], [10.0, 1.0], 20.0),
        ([3.0, 4.0], [0.0, 0.0], 0.0),
        ([1.0], [-9.0], -20.0),
    ],
)
def test_known_ratios(reference: list[float], actual: list[float], expected: float) -> None:
    assert sqnr_db(reference, actual) == pytest.approx(expected)


def test_equal_tensors_reach_the_end_of_the_scale() -> None:
    assert sqnr_db([1.0, 2.0], [1.0, 2.0]) == 200.0
    assert sqnr_db([0.0], [0.0]) == 200.0


def test_a_zero_reference_with_noise_reaches_the_other_end() -> None:
    assert sqnr_db([0.0, 0.0], [0.0, 1e-3]) == -200.0


def test_the_ratio_does_not_depend_on_size_or_scale() -> None:
    r = np.random.default_rng(0).normal(size=(4, 5))
    noise = np.random.default_rng(1).normal(size=(4, 5)) * 0.01
    once = sqnr_db(r, r + noise)
    assert sqnr_db(np.tile(r, 3) * 1e4, np.tile(r + noise, 3) * 1e4) == pytest.approx(once)


def test_single_precision_numbers_are_compared_in_double() -> None:
    reference = np.full(3, 1e30, np.float32)
    assert sqnr_db(reference, reference * np.float32(0.9)) == pytest.approx(20.0, abs=1e-4)


def test_the_largest_difference_counts_whatever_its_sign() -> None:
    assert max_difference([[1.0, 2.0]], [[1.5, -1.0]]) == 3.0
