from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Precision, Split
from edge_pipeline.models.checkpoints import state_to_bytes
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.quantize.nodes import quantize, restored_simulation
from edge_pipeline.pipelines.quantize.parameters import QuantizeParameters
from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.power_of_two import make_rescaling_exact

QUICK = {"calibration_images": 20, "scheme": "min_max"}


def stage(split: Split, weights: Artifact, spec: ModelSpec, **parameters: Any) -> Artifact | Failure:
    npu = parameters.pop("npu", False)
    given = QuantizeParameters(**{**QUICK, **parameters})
    fixed: dict[str, Any] = {"precision": Precision.W8A8, "hexagon": "v73", "high": "float", "subject": "digits/w8a8"}
    fixed["npu"] = npu
    return quantize(split, weights, Path("unused"), given, spec=spec, **fixed)


def test_calibration_images_are_taken_from_the_training_part_equally_of_each_class(
    small_split: Split, weights: Artifact, spec: ModelSpec, digits: Any
) -> None:
    found = stage(small_split, weights, spec)
    assert isinstance(found, Artifact)
    chosen = found.details["calibration"]
    assert set(chosen) <= set(small_split.train)
    assert Counter(digits.labels[index] for index in chosen) == dict.fromkeys(range(10), 2)


def test_the_same_inputs_give_the_same_artifact(small_split: Split, weights: Artifact, spec: ModelSpec) -> None:
    first, second = (stage(small_split, weights, spec) for _ in range(2))
    assert isinstance(first, Artifact)
    assert first == second


def test_other_calibration_images_give_another_artifact(small_split: Split, weights: Artifact, spec: ModelSpec) -> None:
    first, second = (stage(small_split, weights, spec, seed=seed) for seed in (0, 1))
    assert isinstance(first, Artifact)
    assert isinstance(second, Artifact)
    assert first.files["encodings.json"] != second.files["encodings.json"]


def test_the_parameters_are_kept_so_that_the_simulation_can_be_built_again(
    small_split: Split, weights: Artifact, spec: ModelSpec
) -> None:
    found = stage(small_split, weights, spec, cross_layer_equalization=False)
    assert isinstance(found, Artifact)
    kept = QuantizeParameters.model_validate(found.details["parameters"])
    assert kept == QuantizeParameters(**QUICK, cross_layer_equalization=False)


def test_a_training_part_without_images_is_a_failure(small_split: Split, weights: Artifact, spec: ModelSpec) -> None:
    found = stage(replace(small_split, train=()), weights, spec)
    assert isinstance(found, Failure)
    assert "the training part has no images" in found.message


def test_damaged_weights_are_a_failure(small_split: Split, weights: Artifact, spec: ModelSpec) -> None:
    whole = state_to_bytes({})
    found = stage(small_split, replace(weights, files={"weights.pt": whole[:50]}), spec)
    assert isinstance(found, Failure)
    assert (found.stage, found.traceback) == ("quantize", "")


@pytest.mark.parametrize(
    ("npu", "wanted", "done"), [(True, "auto", True), (False, "auto", False), (True, False, False), (False, True, True)]
)
def test_weight_scales_suit_an_npu_where_there_is_one_or_it_is_asked_for(
    small_split: Split, weights: Artifact, spec: ModelSpec, npu: bool, wanted: Any, done: bool
) -> None:
    found = stage(small_split, weights, spec, npu=npu, power_of_two=wanted)
    assert isinstance(found, Artifact)
    assert found.details["layout"]["power_of_two"] is done
    plain = stage(small_split, weights, spec, power_of_two=False)
    assert isinstance(plain, Artifact)
    assert (found.files["encodings.json"] != plain.files["encodings.json"]) is done


@pytest.mark.parametrize(
    "more", [{"qat": {"steps": 2}}, {"overrides": {"features.3.0": "w8a16"}}, {"bias_correction": True}]
)
def test_the_scales_suit_the_npu_after_every_technique_that_moves_ranges(
    small_split: Split, weights: Artifact, spec: ModelSpec, more: dict[str, Any]
) -> None:
    found = stage(small_split, weights, spec, npu=True, **more)
    assert isinstance(found, Artifact)
    simulation = restored_simulation(spec, weights, found)
    before = ptq.encodings(simulation)
    assert make_rescaling_exact(simulation.model)
    after = ptq.encodings(simulation)
    assert all(after[name]["scale"] == pytest.approx(one["scale"], rel=1e-5) for name, one in before.items())
