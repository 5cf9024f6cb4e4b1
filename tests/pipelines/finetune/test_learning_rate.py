from collections.abc import Callable
from typing import Any

import pytest


def rates(train: Callable[..., Any], **parameters: Any) -> list[float]:
    """The rate of the last step of each epoch."""
    found = train(learning_rate=0.004, patience=50, **parameters)
    return [entry["learning_rate"] for entry in found.history]


def test_the_rate_rises_evenly_to_its_full_value_in_the_warm_up(train: Callable[..., Any]) -> None:
    assert rates(train, epochs=4, warmup_epochs=4) == pytest.approx([0.001, 0.002, 0.003, 0.004])


def test_after_the_warm_up_it_only_falls_down_to_a_hundredth(train: Callable[..., Any]) -> None:
    found = rates(train, epochs=8, warmup_epochs=2)
    assert found[1] == pytest.approx(0.004)
    assert found[1:] == sorted(found[1:], reverse=True)
    assert 0.01 * 0.004 <= found[-1] < 0.02 * 0.004


def test_half_way_down_it_is_half(train: Callable[..., Any]) -> None:
    assert rates(train, epochs=20, warmup_epochs=0)[9] == pytest.approx(0.5 * 0.004, rel=0.05)


def test_without_warm_up_it_starts_at_its_full_value(train: Callable[..., Any]) -> None:
    assert rates(train, epochs=20, warmup_epochs=0)[0] == pytest.approx(0.004, rel=0.02)
