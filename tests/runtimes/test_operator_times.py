from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.runtimes.litert_profiler import ProfilerError, operator_times


@pytest.fixture
def model(litert_compiled: dict[Precision, Artifact], tmp_path: Path) -> Path:
    return litert_compiled[Precision.FLOAT].unpack(tmp_path)[0]


@pytest.mark.slow
def test_the_same_operators_are_found_each_time(model: Path, images: Any) -> None:
    first, second = (operator_times(model, [images[:1]], threads=1, runs=3) for _ in range(2))
    assert [layer["type"] for layer in first] == [layer["type"] for layer in second]


@pytest.mark.slow
def test_an_input_of_another_size_is_refused_naming_both(model: Path) -> None:
    with pytest.raises(ProfilerError, match="an input has 16 bytes, the model takes 256"):
        operator_times(model, [np.zeros((1, 1, 2, 2), np.float32)], threads=1, runs=1)


def test_a_file_that_is_no_model_is_refused_naming_the_call(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"not a model at all")
    with pytest.raises(ProfilerError, match="LiteRtCreateModelFromFile failed with status"):
        operator_times(tmp_path / "model.tflite", [], threads=1, runs=1)
