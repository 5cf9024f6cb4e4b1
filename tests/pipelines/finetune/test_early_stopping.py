from collections.abc import Callable
from typing import Any

import pytest

Train = Callable[..., Any]


@pytest.mark.parametrize("patience", [1, 3])
def test_a_training_stops_after_as_many_epochs_without_a_better_one(train: Train, patience: int) -> None:
    found = train(epochs=40, learning_rate=0.05, warmup_epochs=0, patience=patience)
    assert len(found.history) < 40
    assert len(found.history) - found.best_epoch == patience


def test_a_stopped_training_resumed_stays_stopped(train: Train) -> None:
    first = train(epochs=40, learning_rate=0.05, warmup_epochs=0, patience=1)
    assert train(epochs=40, learning_rate=0.05, warmup_epochs=0, patience=1).history == first.history


def test_with_enough_patience_every_epoch_is_run(train: Train) -> None:
    assert len(train(epochs=6, learning_rate=0.05, warmup_epochs=0, patience=6).history) == 6
