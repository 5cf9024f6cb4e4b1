from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_pipeline
from edge_pipeline.core.errors import DatasetError, DeviceError, ModelError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.datasets.digits import Digits
from edge_pipeline.datasets.kedro_io import ArtifactDataset
from edge_pipeline.tasks.user_metric import MetricError


class Sums:
    """Arrays of four numbers; the truth is their sum."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Any, float]:
        values = np.arange(4, dtype=np.float32) * index
        return values, float(values.sum())


class Pictures:
    """Grey digits as pictures, with their class."""

    def __init__(self) -> None:
        self._digits = Digits(1)

    def __len__(self) -> int:
        return 50

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self._digits.picture(index), self._digits.truth(index)


@pytest.fixture
def total() -> nn.Module:
    """A layer that adds its inputs."""
    layer = nn.Linear(4, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mean_absolute_error(predictions: Any, ground_truth: Any) -> float:
    return float(np.abs(predictions[:, 0] - ground_truth).mean())


def top1(predictions: Any, ground_truth: Any) -> dict[str, float]:
    return {"right": float((predictions.argmax(1) == ground_truth).mean())}


def test_a_module_is_validated_with_a_function(total: nn.Module) -> None:
    found = edge_pipeline.validate(total, Sums(), mean_absolute_error, device="host")
    assert found == {"mean_absolute_error": pytest.approx(0, abs=1e-5)}


@pytest.mark.slow
def test_the_same_runs_on_another_runtime(total: nn.Module) -> None:
    found = edge_pipeline.validate(total, Sums(), mean_absolute_error, runtime="tflite")
    assert found["mean_absolute_error"] == pytest.approx(0, abs=1e-4)


def test_pictures_are_preprocessed(net: Any) -> None:
    assert edge_pipeline.validate(net, Pictures(), top1)["right"] > 0.85


def test_a_module_is_left_in_the_mode_it_was_in(total: nn.Module) -> None:
    total.train()
    edge_pipeline.validate(total, Sums(), mean_absolute_error)
    assert total.training


def test_an_onnx_file_is_validated(total: nn.Module, tmp_path: Path) -> None:
    torch.onnx.export(total, (torch.zeros(1, 4),), str(tmp_path / "total.onnx"), dynamo=False)
    found = edge_pipeline.validate(tmp_path / "total.onnx", Sums(), mean_absolute_error)
    assert found["mean_absolute_error"] == pytest.approx(0, abs=1e-5)


def test_what_a_pipeline_compiled_is_validated_with_its_own_pre_and_postprocessing(
    onnx_compiled: dict[Precision, Artifact], tmp_path: Path
) -> None:
    ArtifactDataset(str(tmp_path / "compiled")).save(onnx_compiled[Precision.W8A8])

    def sums(predictions: Any, ground_truth: Any) -> dict[str, float]:
        return {"sum": float(predictions.sum(1).mean()), **top1(predictions, ground_truth)}

    found = edge_pipeline.validate(tmp_path / "compiled", Pictures(), sums)
    assert found["sum"] == pytest.approx(1, abs=1e-5)
    assert found["right"] > 0.85


@pytest.mark.parametrize("model", ["nowhere.onnx", "text.txt", 5])
def test_what_is_no_model_is_refused(model: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    given = tmp_path / model if isinstance(model, str) else model
    with pytest.raises(ModelError):
        edge_pipeline.validate(given, Sums(), mean_absolute_error)


def test_a_metric_that_fails_says_so(total: nn.Module) -> None:
    def broken(predictions: Any, ground_truth: Any) -> float:
        raise KeyError("mean")

    with pytest.raises(MetricError, match="broken"):
        edge_pipeline.validate(total, Sums(), broken)


def test_what_is_no_dataset_is_refused(total: nn.Module) -> None:
    with pytest.raises(DatasetError):
        edge_pipeline.validate(total, 5, mean_absolute_error)


def test_a_file_that_does_not_take_the_samples_is_refused(tmp_path: Path) -> None:
    torch.onnx.export(nn.Linear(3, 1), (torch.zeros(1, 3),), str(tmp_path / "other.onnx"), dynamo=False)
    with pytest.raises((ModelError, DeviceError), match=r"other\.onnx"):
        edge_pipeline.validate(tmp_path / "other.onnx", Sums(), mean_absolute_error)


def test_importing_the_package_loads_nothing_heavy(start_python: Callable[[str], Any]) -> None:
    process = start_python("import sys, edge_pipeline; print('torch' in sys.modules, 'kedro' in sys.modules)")
    assert process.communicate(timeout=60)[0].split() == ["False", "False"]


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'validat'"):
        edge_pipeline.validat  # noqa: B018
