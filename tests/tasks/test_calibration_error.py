"""The expected calibration error over 15 equal bins."""

import numpy as np
import pytest

from edge_pipeline.tasks.classification import Classification


def error(samples: list[tuple[float, bool]]) -> float:
    """Return the error of a network of two classes that predicts the first with these probabilities, rightly or not."""
    judge = Classification(("a", "b"))
    for confidence, right in samples:
        judge.add(np.array([confidence, 1 - confidence]), 0 if right else 1)
    return judge.metrics()["ece"]


def test_a_case_computed_by_hand() -> None:
    # Bin (0.8, 0.867]: confidence 0.82 and 0.84, one of two right; bin (0.933, 1]: 0.95, 0.97, 1, all right.
    found = error([(0.82, True), (0.84, False), (0.95, True), (0.97, True), (1.0, True)])
    assert found == pytest.approx(2 / 5 * abs(0.5 - 0.83) + 3 / 5 * (1 - (0.95 + 0.97 + 1) / 3))


def test_a_perfectly_sure_and_right_network_has_none() -> None:
    assert error([(1.0, True)] * 4) == 0


def test_a_perfectly_sure_and_wrong_network_has_all_of_it() -> None:
    assert error([(1.0, False)] * 4) == pytest.approx(1)


def test_errors_in_different_bins_do_not_cancel() -> None:
    # Mean confidence equals the accuracy, but both bins are wrong.
    assert error([(0.6, True), (0.6, True), (0.9, False), (0.9, True)]) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_it_falls_to_zero_for_a_network_that_is_as_right_as_it_is_sure() -> None:
    generator = np.random.default_rng(0)
    confidences = generator.uniform(0.5, 1, 20_000)
    rights = generator.random(20_000) < confidences
    assert error(list(zip(confidences.tolist(), rights.tolist(), strict=True))) < 0.02
