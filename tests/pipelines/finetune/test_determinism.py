from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.models import classifier, recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.fingerprint import fingerprint
from edge_pipeline.pipelines.finetune.nodes import finetune
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters
from edge_pipeline.pipelines.loading import batches

Train = Callable[..., Any]


def equal(first: Any, second: Any) -> bool:
    return all(torch.equal(value, second.state[key]) for key, value in first.state.items())


def test_a_seed_gives_the_same_weights_bit_for_bit(train: Train) -> None:
    first, second = train("a"), train("b")
    assert equal(first, second)
    assert first.history == second.history


def test_random_numbers_drawn_elsewhere_do_not_matter(train: Train) -> None:
    first = train("a")
    torch.rand(17)
    assert equal(first, train("b"))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"learning_rate": 1e-3}, {"weight_decay": 0.5}, {"label_smoothing": 0.2}, {"batch_size": 8}]
)
def test_another_parameter_gives_other_weights(train: Train, change: dict[str, Any]) -> None:
    assert not equal(train("a"), train("b", **change))


def test_the_stage_makes_equal_artifacts(one_thread: None, spec: ModelSpec, tiny_split: Split, tmp_path: Path) -> None:
    parameters = FinetuneParameters(epochs=2)
    found = [finetune(tiny_split, tmp_path / name, parameters, spec=spec, subject="digits") for name in "ab"]
    assert isinstance(found[0], Artifact)
    assert found[0].files["weights.pt"] == found[1].files["weights.pt"]
    assert found[0].hash == found[1].hash


def test_training_learns(weights: Artifact) -> None:
    history = weights.details["history"]
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert weights.details["metrics"]["best_validation_accuracy"] > 0.9


def test_the_best_epoch_by_validation_is_kept(weights: Artifact) -> None:
    history = weights.details["history"]
    best = max(range(len(history)), key=lambda i: (history[i]["validation_accuracy"], -history[i]["validation_loss"]))
    assert weights.details["best_epoch"] == best + 1


def test_the_kept_weights_have_the_validation_accuracy_of_the_best_epoch(
    weights: Artifact, net: Any, digits: Any, small_split: Split, spec: ModelSpec
) -> None:
    (batch,) = batches(digits, recipes.interface(spec), small_split.validation, 100)
    with torch.no_grad():
        found = net(torch.from_numpy(batch.inputs[0])).argmax(1).tolist()
    right = sum(label == digits.labels[index] for label, index in zip(found, small_split.validation, strict=True))
    assert right / 100 == pytest.approx(weights.details["metrics"]["best_validation_accuracy"])


def test_a_training_starts_from_the_checkpoint_named(train: Train, spec: ModelSpec, tmp_path: Path) -> None:
    start = classifier.build(spec).state_dict()
    torch.save(start, tmp_path / "start.pt")
    found = train("a", epochs=1, learning_rate=1e-9, checkpoint=tmp_path / "start.pt")
    assert torch.allclose(found.state["head.weight"], start["head.weight"], atol=1e-6)
    assert not torch.allclose(train("b", epochs=1, learning_rate=1e-9).state["head.weight"], start["head.weight"])


@pytest.mark.parametrize("change", [{"epochs": 4}, {"seed": 1}, {"augment": {"shift": 0.2}}], ids=str)
def test_the_fingerprint_changes_with_every_parameter(
    spec: ModelSpec, tiny_split: Split, change: dict[str, Any]
) -> None:
    default = fingerprint(spec, tiny_split, FinetuneParameters(), "digits")
    assert fingerprint(spec, tiny_split, FinetuneParameters(**change), "digits") != default


def test_the_fingerprint_changes_with_model_name_split_and_start(
    spec: ModelSpec, tiny_split: Split, tmp_path: Path
) -> None:
    parameters = FinetuneParameters(checkpoint=tmp_path / "start.pt")
    start = tmp_path / "start.pt"
    start.write_bytes(b"1")
    found = [
        fingerprint(spec, tiny_split, parameters, "digits"),
        fingerprint(spec, tiny_split, parameters, "other"),
        fingerprint(spec, replace(tiny_split, train=tiny_split.train[1:]), parameters, "digits"),
        fingerprint(spec.model_copy(update={"classes": 11}), tiny_split, parameters, "digits"),
    ]
    start.write_bytes(b"2")
    found.append(fingerprint(spec, tiny_split, parameters, "digits"))
    assert len(set(found)) == 5


def test_the_fingerprint_does_not_depend_on_whether_to_resume_nor_on_targets(
    spec: ModelSpec, tiny_split: Split
) -> None:
    default = fingerprint(spec, tiny_split, FinetuneParameters(), "digits")
    assert fingerprint(spec, tiny_split, FinetuneParameters(resume=False), "digits") == default
    assert fingerprint(spec.model_copy(update={"default": True}), tiny_split, FinetuneParameters(), "digits") == default


def test_the_best_of_epochs_of_equal_accuracy_is_the_one_of_least_loss(train: Train, tiny_split: Split) -> None:
    found = train(split=replace(tiny_split, validation=tiny_split.validation[:4]), epochs=8, patience=8, ema=0)
    scores = [(entry["validation_accuracy"], -entry["validation_loss"]) for entry in found.history]
    best = max(scores)
    assert sum(accuracy == best[0] for accuracy, _ in scores) > 1
    assert scores.index(best) + 1 == found.best_epoch


def test_every_epoch_sees_the_images_in_an_order_of_its_own(train: Train, recorder: Any) -> None:
    asked: list[int] = []
    epochs: list[list[int]] = []

    class Watched(Digits):
        def picture(self, index: int) -> Any:
            asked.append(index)
            return super().picture(index)

    recorder.at = lambda epoch: epochs.append(asked[-84:-20])  # 64 to train on, then 20 to validate
    train(samples=Watched(1), epochs=2)
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


def test_the_number_of_threads_is_as_before_after_a_training(train: Train) -> None:
    import torch

    before = torch.get_num_threads()
    train(epochs=1, threads=before + 1)
    assert torch.get_num_threads() == before
