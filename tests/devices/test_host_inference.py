from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.host import Host
from edge_pipeline.runtimes.session import open_session, run

TARGET = "digits@host/onnx/w8a8"


@pytest.fixture
def compiled(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


def infer(artifact: Artifact, batches: Any, time_limit_s: float = 60) -> Iterator[Any]:
    inputs = ((batch,) for batch in batches)
    for (outputs,) in Host().infer(artifact, inputs, threads=1, time_limit_s=time_limit_s, target=TARGET):
        yield outputs


def test_the_outputs_are_bit_for_bit_those_of_a_session_in_this_process(compiled: Artifact, images: Any) -> None:
    session = open_session("onnx", compiled.files["model.onnx"], threads=1)
    expected = np.concatenate([run(session, [image[None]])[0] for image in images])
    (found,) = infer(compiled, [images])
    assert np.array_equal(found, expected)


def test_every_batch_has_outputs_of_its_own_in_order(compiled: Artifact, images: Any) -> None:
    (whole,) = infer(compiled, [images[:5]])
    parts = list(infer(compiled, iter([images[:3], images[3:5]])))
    assert [len(part) for part in parts] == [3, 2]
    assert np.array_equal(np.concatenate(parts), whole)


def test_batches_are_asked_for_one_at_a_time(compiled: Artifact, images: Any) -> None:
    asked = []

    def batches() -> Iterator[Any]:
        for index in range(2):
            asked.append(index)
            yield images[index : index + 1]

    found = infer(compiled, batches())
    assert asked == []
    next(found)
    assert asked == [0]
    next(found)
    assert asked == [0, 1]


def test_a_broken_model_is_reported_naming_target_device_and_reason(compiled: Artifact, images: Any) -> None:
    broken = replace(compiled, files={"model.onnx": b"not a model"})
    with pytest.raises(DeviceError, match=rf"{TARGET}: the device 'host' could not infer the artifact; [\s\S]*rror"):
        list(infer(broken, [images[:1]]))


def test_images_of_another_size_are_reported(compiled: Artifact) -> None:
    with pytest.raises(DeviceError, match=TARGET):
        list(infer(compiled, [np.zeros((1, 1, 9, 9), np.float32)]))


def test_a_batch_over_its_time_limit_is_stopped(compiled: Artifact, images: Any) -> None:
    with pytest.raises(DeviceError, match=rf"{TARGET}: .*time limit of 0\.05 s"):
        list(infer(compiled, [images], time_limit_s=0.05))


@pytest.mark.slow
def test_a_tflite_model_runs_as_well(litert_compiled: dict[Precision, Artifact], images: Any) -> None:
    compiled = litert_compiled[Precision.W8A8]
    session = open_session("tflite", compiled.files["model.tflite"], threads=1)
    expected = np.concatenate([run(session, [image[None]])[0] for image in images[:4]])
    (found,) = infer(compiled, [images[:4]])
    assert np.array_equal(found, expected)
