from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import ModelError, TrainingError
from edge_pipeline.core.types import Failure, Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines import loading
from edge_pipeline.pipelines.finetune.nodes import finetune
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters

Train = Callable[..., Any]


def test_a_learning_rate_that_is_too_high_is_reported_with_epoch_step_rate_and_what_to_do(train: Train) -> None:
    with pytest.raises(TrainingError) as raised:
        train(learning_rate=1e10, warmup_epochs=0)
    for text in ("digits: the loss became", "in epoch 1, step", "at learning rate ", "Lower `finetune.learning_rate`"):
        assert text in str(raised.value)


def test_the_checkpoint_of_the_last_good_epoch_is_kept(
    train: Train, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(epoch: int) -> None:
        if epoch == 2:
            monkeypatch.setattr(loading, "normalise", lambda *_: np.full((1, 8, 8), np.nan, np.float32))

    recorder.at = spoil
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 3, step 1.*check the images for NaN"):
        train(epochs=4)
    monkeypatch.undo()
    recorder.at = lambda epoch: None
    assert train(epochs=4).resumed_from == 2


def test_the_stage_turns_it_into_a_failure(
    one_thread: None, spec: ModelSpec, tiny_split: Split, tmp_path: Path
) -> None:
    parameters = FinetuneParameters(epochs=2, batch_size=16, learning_rate=1e10, warmup_epochs=0)
    found = finetune(tiny_split, tmp_path, parameters, spec=spec, subject="digits")
    assert isinstance(found, Failure)
    assert (found.stage, found.subject, found.traceback) == ("finetune", "digits", "")


def test_another_number_of_classes_than_the_network_has_is_refused_naming_both(train: Train) -> None:
    class Two(Digits):
        classes = ("a", "b")

    with pytest.raises(ModelError, match=r"has 2 classes \(a, b\), the network's head has 10; set `classes: 2`"):
        train(samples=Two(1))


def test_a_last_batch_of_one_image_does_not_stop_the_training(train: Train, tiny_split: Split) -> None:
    found = train(split=replace(tiny_split, train=tiny_split.train[:33]), epochs=1)
    assert np.isfinite(found.history[0]["train_loss"])


def test_a_training_that_diverges_in_its_last_step_is_reported(train: Train) -> None:
    with pytest.raises(TrainingError):
        train(epochs=1, batch_size=64, learning_rate=1e10, warmup_epochs=0)
