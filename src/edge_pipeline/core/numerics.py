"""How far two sets of numbers are apart."""

import numpy as np
from numpy.typing import ArrayLike

IDENTICAL_DB = 200.0
"""Upper end of the scale: reported when two tensors are equal, where the ratio would be infinite."""


def sqnr_db(reference: ArrayLike, actual: ArrayLike) -> float:
    """Signal to quantization-noise ratio 10 log10(sum(r^2) / sum((r - a)^2)), in dB, at most `IDENTICAL_DB`."""
    r, a = np.asarray(reference, np.float64).ravel(), np.asarray(actual, np.float64).ravel()
    noise, signal = float(np.square(r - a).mean()), float(np.square(r).mean())
    if noise == 0.0:
        return IDENTICAL_DB
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / noise), -IDENTICAL_DB, IDENTICAL_DB))


def max_difference(reference: ArrayLike, actual: ArrayLike) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(reference, np.float64) - np.asarray(actual, np.float64)).max())
