"""A release holds exactly what was validated, or is not made."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target, Validation
from edge_pipeline.devices.agent.tensors import unpack
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.bundle import Content
from edge_pipeline.fleet.errors import BundleError
from edge_pipeline.pipelines import references
from edge_pipeline.pipelines.config import Project
from edge_pipeline.pipelines.release.gather import GOLDEN_IMAGES, gather
from edge_pipeline.pipelines.validate.outputs import OUTPUTS, keep

TARGET = Target("digits", "rb3", RuntimeName.ONNX, Precision.W8A8)
DEVICES = {"rb3": DeviceSpec(kind="ssh", address="edge@192.0.2.7", chip="QCS6490", labels=("lab",))}
INPUTS = np.arange(6 * 64, dtype=np.float32).reshape(6, 1, 8, 8)
ANSWERS = np.arange(60, dtype=np.float32).reshape(6, 10)


@pytest.fixture
def results() -> dict[str, Any]:
    """What a run leaves of one target, by dataset."""
    both = references.References((INPUTS,), (ANSWERS,), (ANSWERS,), (ANSWERS,))
    weights = Artifact("weights", {"w": b"weights"})
    images = [11, 12, 13, 14, 15, 16]
    exported = Artifact(
        "exported", {references.FILE: references.pack(both)}, weights.lineage, details={"images": images}
    )
    compiled = Artifact(
        "compiled",
        {"model.onnx": b"model"},
        exported.lineage,
        tools={"onnxruntime": "1"},
        details={"model": "model.onnx"},
    )
    about = {"samples": [], "outputs": images, "interface": {"preprocessing": None}}
    predictions = Artifact("predictions", {OUTPUTS: keep((ANSWERS,))[0]}, compiled.lineage, details=about)
    metrics = {"accuracy": 0.9}
    validation = Validation(
        TARGET.name, compiled.hash, compiled.lineage, metrics, 3, "classification", ("a", "b"), {"own_metrics": []}
    )
    owner = f"digits.{TARGET.slug}"
    return {
        "digits.weights": weights,
        "digits.w8a8.exported": exported,
        f"{owner}.compiled": compiled,
        f"{owner}.predictions": predictions,
        f"{owner}.validation": validation,
    }


@pytest.fixture
def gathered(default_catalog: Any, tmp_path: Path) -> Callable[[dict[str, Any]], Content]:
    def make(results: dict[str, Any]) -> Content:
        for name, one in results.items():
            default_catalog.save(name, one)
        about = {"name": "Tests", "version": 4, "created": "2026-01-02T03:04:05+00:00", "card": "# Digits"}
        return gather(default_catalog, Project(tmp_path, devices=DEVICES), "digits", [TARGET], **about)

    return make


def test_the_release_is_what_was_validated(results: dict[str, Any], gathered: Any) -> None:
    found = gathered(results).targets[TARGET.slug]
    assert found.artifact == results[f"digits.{TARGET.slug}.compiled"]
    assert (found.fits.devices, found.fits.chip, found.fits.labels) == (("rb3",), "QCS6490", ("lab",))
    assert found.lineage == results[f"digits.{TARGET.slug}.validation"].lineage
    assert (found.labels, found.metrics) == (("a", "b"), {"accuracy": 0.9})
    assert found.golden.tolerance_db == 24
    np.testing.assert_array_equal(unpack(io.BytesIO(found.golden.inputs))[0], INPUTS[:GOLDEN_IMAGES])
    np.testing.assert_array_equal(unpack(io.BytesIO(found.golden.outputs))[0], ANSWERS[:GOLDEN_IMAGES])


def test_what_was_not_validated_or_is_outdated_is_not_released(results: dict[str, Any], gathered: Any) -> None:
    owner = f"digits.{TARGET.slug}"
    validation, predictions = results[f"{owner}.validation"], results[f"{owner}.predictions"]
    shifted = replace(predictions, details={**predictions.details, "outputs": [12, 13, 14, 15, 16, 17]})
    newer = replace(results[f"{owner}.compiled"], files={"model.onnx": b"newer"})
    unverified = replace(validation, details={"own_metrics": [], "unverified": "it contradicts itself"})
    without = {name: one for name, one in results.items() if name != f"{owner}.validation"}
    for changed, told in (
        (without, "not measured yet"),
        ({**results, f"{owner}.compiled": newer}, "newer compiled artifact"),
        ({**results, f"{owner}.validation": unverified}, "it contradicts itself"),
        ({**results, f"{owner}.predictions": shifted}, "not those of the exported model's reference images"),
    ):
        with pytest.raises(BundleError, match=told):
            gathered(changed)
