"""The sensitivity report."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_pipeline.core.types import Artifact, Failure, Precision, Split
from edge_pipeline.datasets.spec import DigitsSpec
from edge_pipeline.models.spec import ClassifierSpec, CustomSpec, ModelSpec, Targets
from edge_pipeline.pipelines.parameters import ModelParameters
from edge_pipeline.pipelines.quantize.nodes import quantize
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from edge_pipeline.pipelines.sensitivity.nodes import report
from edge_pipeline.pipelines.sensitivity.pipeline import nodes


@pytest.fixture(scope="module")
def found(small_split: Split, weights: Artifact, simulation: Artifact, spec: ModelSpec) -> Artifact:
    given = QuantizeParameters.model_validate({"sensitivity": {"images": 16, "metric_images": 20}})
    result = report(small_split, weights, simulation, given, spec=spec, model="digits", subject="digits/w8a8")
    assert isinstance(result, Artifact), result
    return result


def rows(found: Artifact) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(found.files["sensitivity.csv"].decode())))


def test_there_are_a_table_a_chart_and_overrides(found: Artifact, simulation: Artifact) -> None:
    assert set(found.files) == {"sensitivity.csv", "sensitivity.png", "overrides.yml"}
    assert found.files["sensitivity.png"].startswith(b"\x89PNG")
    assert found.kind == "sensitivity"
    assert found.parents["simulation"] == simulation.hash


def test_the_table_has_all_layers_the_worst_first(found: Artifact) -> None:
    table = rows(found)
    assert {"features.0.0", "features.1.0", "features.3.0", "head"} <= {one["layer"] for one in table}
    numbers = [float(one["sqnr_db"]) for one in table]
    assert numbers == sorted(numbers)
    assert sum(float(one["noise_share"]) for one in table) == pytest.approx(1, abs=1e-3)
    assert all(0 <= float(one["accuracy"]) <= 1 for one in table)
    assert all(abs(float(one["accuracy_drop"])) <= 1 for one in table)


def test_without_metric_images_there_is_no_metric(
    small_split: Split, weights: Artifact, simulation: Artifact, spec: ModelSpec
) -> None:
    given = QuantizeParameters.model_validate({"sensitivity": {"images": 4}})
    result = report(small_split, weights, simulation, given, spec=spec, model="digits", subject="digits/w8a8")
    assert isinstance(result, Artifact)
    assert list(rows(result)[0]) == ["layer", "kind", "sqnr_db", "noise_share"]


def test_only_validation_images_are_compared(found: Artifact, small_split: Split) -> None:
    assert len(found.details["images"]) == 16
    assert set(found.details["images"]) <= set(small_split.validation)


def test_the_overrides_are_parameters_that_the_quantize_stage_takes(
    found: Artifact, small_split: Split, weights: Artifact, spec: ModelSpec, tmp_path: Path
) -> None:
    content = yaml.safe_load(found.files["overrides.yml"])
    given = ModelParameters.model_validate(content["digits"]).quantize
    assert (
        list(given.overrides) == found.details["worst"] == [one["layer"] for one in rows(found)][: len(given.overrides)]
    )
    assert given.overrides
    quick = given.model_copy(update={"calibration_images": 20})
    fixed: dict[str, Any] = {"precision": Precision.W8A8, "hexagon": "v73", "high": "w8a16", "subject": "digits"}
    result = quantize(small_split, weights, tmp_path, quick, spec=spec, **fixed)
    assert isinstance(result, Artifact), result
    assert result.details["layout"]["overrides"] == dict(given.overrides)


def test_an_onnx_model_that_stays_one_is_refused(small_split: Split, weights: Artifact, simulation: Artifact) -> None:
    only_onnx = Targets.model_validate({"runtimes": ["onnx"]})
    spec = CustomSpec(
        recipe="custom", task="classification", dataset=DigitsSpec(), file=Path("a.onnx"), targets=only_onnx
    )
    result = report(
        small_split, weights, simulation, QuantizeParameters(), spec=spec, model="digits", subject="digits/w8a8"
    )
    assert isinstance(result, Failure)
    assert "give it as a PyTorch network" in result.message


def test_a_failed_simulation_is_passed_on(small_split: Split, weights: Artifact, spec: ModelSpec) -> None:
    failure = Failure("quantize", "digits/w8a8", "no")
    result = report(
        small_split, weights, failure, QuantizeParameters(), spec=spec, model="digits", subject="digits/w8a8"
    )
    assert result == failure


def test_each_quantized_precision_has_a_report(spec: ModelSpec) -> None:
    targets = Targets.model_validate({"runtimes": ["onnx"], "precisions": ["float", "w8a8", "w4a8", "mixed"]})
    assert isinstance(spec, ClassifierSpec)
    changed = spec.model_copy(update={"targets": targets})
    made = nodes("digits", changed, changed.expand("digits"))
    assert len(made) == 2
