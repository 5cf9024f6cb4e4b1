import numpy as np
import pytest

from edge_pipeline.runtimes.session import dequantize, quantize

SCALE, ZERO = 0.5, -3


def test_every_integer_survives_the_way_there_and_back() -> None:
    integers = np.arange(-128, 128, dtype=np.int8)
    assert np.array_equal(quantize(dequantize(integers, SCALE, ZERO), SCALE, ZERO, np.int8), integers)


def test_a_number_comes_back_within_half_a_step() -> None:
    numbers = np.linspace(-50, 50, 1001, dtype=np.float32)
    found = dequantize(quantize(numbers, SCALE, ZERO, np.int8), SCALE, ZERO)
    assert np.abs(found - numbers).max() <= SCALE / 2 + 1e-6


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(np.int8, -128, 127), (np.uint8, 0, 255), (np.int16, -32768, 32767)]
)
def test_numbers_outside_saturate_instead_of_wrapping_around(dtype: type, low: int, high: int) -> None:
    found = quantize(np.array([-1e9, 1e9], np.float32), SCALE, 0, dtype)
    assert found.dtype == dtype
    assert found.tolist() == [low, high]


def test_zero_becomes_the_zero_point() -> None:
    assert quantize(np.zeros(1, np.float32), SCALE, ZERO, np.int8).tolist() == [ZERO]


def test_halves_are_rounded_to_even_as_the_engines_do() -> None:
    assert quantize(np.array([0.5, 1.5, 2.5], np.float32), 1.0, 0, np.int8).tolist() == [0, 2, 2]


def test_what_comes_back_is_single_precision() -> None:
    assert dequantize(np.array([1], np.uint8), 0.25, 128).dtype == np.float32
    assert dequantize(np.array([0], np.uint8), 0.25, 128).tolist() == [-32.0]
