"""A training of seconds: 64 digits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core import progress
from edge_pipeline.core.types import Split
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.finetune.parameters import FinetuneParameters


@pytest.fixture(scope="session")
def tiny_split(small_split: Split) -> Split:
    return replace(small_split, train=small_split.train[:64], validation=small_split.validation[:20])


@pytest.fixture
def train(one_thread: None, spec: ModelSpec, digits: Digits, tiny_split: Split, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that trains in the folder `name` below `tmp_path`."""

    def run(name: str = "checkpoints", samples: Any = digits, split: Split = tiny_split, **parameters: Any) -> Any:
        from edge_pipeline.pipelines.finetune.training import train as function

        settings = FinetuneParameters(**{"epochs": 3, "batch_size": 16, **parameters})
        return function(spec, samples, split, settings, tmp_path / name, "digits")

    return run


class Recorder:
    """Keeps what a training tells; `at` is called with the number of each finished epoch."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.ended_steps: list[str] = []
        self.at: Callable[[int], None] = lambda epoch: None

    def started(self, step: str, total: int) -> None:
        pass

    def advanced(self, step: str, done: int, note: str) -> None:
        pass

    def entered(self, step: str, state: str) -> None:
        pass

    def ended(self, step: str) -> None:
        self.ended_steps.append(step)

    def measured(self, step: str, index: int, metrics: Any) -> None:
        self.epochs.append(index)
        self.at(index)


@pytest.fixture
def recorder() -> Any:
    before = progress.listeners[:]
    recorder = Recorder()
    progress.listeners[:] = [recorder]
    yield recorder
    progress.listeners[:] = before
