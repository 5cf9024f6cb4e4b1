import json
import signal
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.types import Artifact, Split
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.nodes import finetune
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters

Train = Callable[..., Any]

KILLED = """
import json, os, signal
from pathlib import Path
import torch
from edge_pipeline.core import progress
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters
from edge_pipeline.pipelines.finetune.training import train

class Killer:
    def measured(self, step, index, metrics):
        if index == {epoch}:
            os.kill(os.getpid(), signal.SIGKILL)
    started = advanced = ended = lambda self, *arguments: None

torch.set_num_threads(1)
progress.listeners.append(Killer())
content = json.loads(Path("split.json").read_text())
split = Split(**{{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}})
parameters = FinetuneParameters(epochs=5, batch_size=16)
train(ClassifierSpec(recipe="classifier"), Digits(1), split, parameters, Path("killed"), "digits")
"""


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 4])
def test_a_killed_training_resumed_equals_one_that_was_never_stopped(
    train: Train, tiny_split: Split, tmp_path: Path, start_python, epoch: int
) -> None:
    (tmp_path / "split.json").write_text(json.dumps(asdict(tiny_split)))
    process = start_python(KILLED.format(epoch=epoch))
    _, said = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, said
    resumed, uninterrupted = train("killed", epochs=5), train("whole", epochs=5)
    assert (resumed.resumed_from, uninterrupted.resumed_from) == (epoch, 0)
    assert resumed.history == uninterrupted.history
    assert all(torch.equal(value, uninterrupted.state[key]) for key, value in resumed.state.items())


def test_a_finished_training_is_taken_as_it_is(train: Train, recorder: Any) -> None:
    first = train()
    recorder.epochs.clear()
    second = train()
    assert second.resumed_from == 3
    assert second.history == first.history
    assert all(torch.equal(value, second.state[key]) for key, value in first.state.items())


def test_the_curves_of_a_resumed_training_are_told_from_the_start(train: Train, recorder: Any) -> None:
    def stop(epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    recorder.at = stop
    with pytest.raises(KeyboardInterrupt):
        train()
    recorder.at = lambda epoch: None
    recorder.epochs.clear()
    train()
    assert recorder.epochs == [1, 2, 3]
    assert recorder.ended_steps == ["digits: fine-tune", "digits: fine-tune"]


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 4}, {"learning_rate": 1e-3}], ids=str)
def test_a_checkpoint_of_another_training_is_ignored(train: Train, change: dict[str, Any]) -> None:
    train("mixed")
    found = train("mixed", **change)
    assert found.resumed_from == 0
    expected = train("fresh", **change)
    assert all(torch.equal(value, expected.state[key]) for key, value in found.state.items())


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_damaged_checkpoint_is_ignored(train: Train, tmp_path: Path, share: float) -> None:
    train()
    path = tmp_path / "checkpoints" / "last.pt"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert train().resumed_from == 0


def test_a_training_starts_anew_if_asked(train: Train) -> None:
    train()
    assert train(resume=False).resumed_from == 0


def test_a_resumed_stage_makes_an_artifact_of_the_same_hash(
    one_thread: None, spec: ModelSpec, tiny_split: Split, tmp_path: Path
) -> None:
    parameters = FinetuneParameters(epochs=2)
    first, again = (finetune(tiny_split, tmp_path, parameters, spec=spec, subject="digits") for _ in range(2))
    assert isinstance(first, Artifact)
    assert isinstance(again, Artifact)
    assert again.files == first.files
    assert again.hash == first.hash
