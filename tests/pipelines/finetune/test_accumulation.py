from collections.abc import Callable
from typing import Any

import pytest
import torch

Train = Callable[..., Any]


def test_two_halves_of_a_batch_make_the_step_of_the_whole(train: Train) -> None:
    """But for the statistics of the batch norms, which each half has of its own."""
    steps = {"epochs": 1, "ema": 0, "warmup_epochs": 0, "learning_rate": 1e-3}
    start = train("start", epochs=1, learning_rate=1e-12).state["head.weight"]
    whole = train("whole", batch_size=32, **steps).state["head.weight"] - start
    halves = train("halves", batch_size=16, accumulate=2, **steps).state["head.weight"] - start
    single = train("single", batch_size=16, **steps).state["head.weight"] - start
    assert whole.norm() == pytest.approx(float(halves.norm()), rel=0.2)
    assert torch.cosine_similarity(whole.flatten(), halves.flatten(), dim=0) > 0.9
    assert single.norm() > 1.3 * whole.norm()


def test_a_last_incomplete_group_is_a_step_too(train: Train) -> None:
    first, second = (train(name, epochs=1, batch_size=16, accumulate=n) for name, n in (("a", 3), ("b", 4)))
    assert not torch.equal(first.state["head.weight"], second.state["head.weight"])


def test_validation_may_be_rarer_than_epochs(train: Train) -> None:
    found = train(epochs=5, validate_every=2)
    assert ["validation_accuracy" in entry for entry in found.history] == [False, True, False, True, True]
    assert found.best_epoch in (2, 4, 5)


def test_the_network_before_training_is_measured(train: Train) -> None:
    found = train(epochs=3)
    assert found.untrained["validation_accuracy"] < 0.5
    assert found.untrained["validation_loss"] > found.history[-1]["validation_loss"]
    assert train(epochs=3).untrained == found.untrained


def test_workers_do_not_change_the_weights(train: Train) -> None:
    alone, helped = train("alone", epochs=2), train("helped", epochs=2, workers=2)
    assert all(torch.equal(value, helped.state[key]) for key, value in alone.state.items())


def test_a_training_in_16_bits_learns_as_well(train: Train) -> None:
    found = train(epochs=6, mixed_precision="bfloat16")
    assert found.history[-1]["train_loss"] < found.history[0]["train_loss"]
    assert all(value.dtype != torch.bfloat16 for value in found.state.values())
