from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edge_pipeline.core.types import Artifact, Failure, Precision, RuntimeName, Split, Target, Validation
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models import recipes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.loading import batches
from edge_pipeline.pipelines.validate import inference, nodes
from edge_pipeline.pipelines.validate.parameters import ValidateParameters

Validate = Callable[..., Validation | Failure]


@pytest.fixture
def validate(spec: ModelSpec, small_split: Split, exported: dict[Precision, Artifact]) -> Validate:
    def run(compiled: Artifact, precision: Precision, **changes: Any) -> Validation | Failure:
        target = Target("digits", "host", RuntimeName.ONNX, precision)
        found, _ = nodes.validate(
            small_split,
            exported[precision],
            compiled,
            ValidateParameters(),
            spec=spec.model_copy(update=changes),
            device=DeviceSpec(kind="host"),
            target=target,
            subject=target.name,
        )
        return found

    return run


def test_the_accuracy_is_that_of_the_network_on_the_test_part(
    validate: Validate,
    onnx_compiled: dict[Precision, Artifact],
    net: Any,
    digits: Any,
    small_split: Split,
    spec: ModelSpec,
) -> None:
    found = validate(onnx_compiled[Precision.FLOAT], Precision.FLOAT)
    with torch.no_grad():
        (batch,) = batches(digits, recipes.interface(spec), small_split.test, 100)
        predicted = net(torch.from_numpy(batch.inputs[0])).argmax(1).numpy()
    labels = np.array([digits.labels[index] for index in small_split.test])
    assert isinstance(found, Validation)
    assert found.metrics["accuracy"] == (predicted == labels).mean() > 0.85
    assert found.samples == 100
    assert np.array(found.details["confusion"]).trace() == (predicted == labels).sum()


@pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.W8A8])
def test_the_agreement_with_the_parents_is_told(
    validate: Validate, onnx_compiled: dict[Precision, Artifact], precision: Precision
) -> None:
    found = validate(onnx_compiled[precision], precision)
    assert isinstance(found, Validation)
    least = {Precision.FLOAT: (80, 80), Precision.W8A8: (20, 25)}[precision]
    assert (found.metrics["sqnr_float_db"] > least[0], found.metrics["sqnr_sim_db"] > least[1]) == (True, True)


def test_the_result_names_the_artifact_it_was_made_with(
    validate: Validate, onnx_compiled: dict[Precision, Artifact]
) -> None:
    compiled = onnx_compiled[Precision.FLOAT]
    found = validate(compiled, Precision.FLOAT)
    assert isinstance(found, Validation)
    assert (found.target, found.artifact, found.lineage) == ("digits@host/onnx/float", compiled.hash, compiled.lineage)


def test_a_test_part_larger_than_one_batch_gives_the_same(
    validate: Validate, onnx_compiled: dict[Precision, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = validate(onnx_compiled[Precision.FLOAT], Precision.FLOAT)
    monkeypatch.setattr(inference, "BATCH_BYTES", 60 * (64 + 10) * 4)
    assert validate(onnx_compiled[Precision.FLOAT], Precision.FLOAT) == whole


def test_outputs_that_are_not_finite_are_a_failure(
    validate: Validate, onnx_compiled: dict[Precision, Artifact]
) -> None:
    compiled = onnx_compiled[Precision.FLOAT]
    model = onnx.load_from_string(compiled.files["model.onnx"])
    bias = next(tensor for tensor in model.graph.initializer if "head.bias" in tensor.name)
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
    found = validate(replace(compiled, files={"model.onnx": model.SerializeToString()}), Precision.FLOAT)
    assert isinstance(found, Failure)
    assert "NaN or infinite" in found.message


def test_an_artifact_that_cannot_be_loaded_is_a_failure(
    validate: Validate, onnx_compiled: dict[Precision, Artifact]
) -> None:
    broken = replace(onnx_compiled[Precision.FLOAT], files={"model.onnx": b"no model"})
    found = validate(broken, Precision.FLOAT)
    assert isinstance(found, Failure)
    assert (found.stage, found.traceback) == ("validate", "")
