from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from edge_pipeline.core.types import Artifact, Failure, Precision, RuntimeName, Split
from edge_pipeline.models.checkpoints import state_to_bytes
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec, Targets
from edge_pipeline.pipelines.export.nodes import export
from edge_pipeline.pipelines.export.parameters import ExportParameters
from edge_pipeline.pipelines.references import references

both = pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.W8A8])


@both
def test_the_images_compared_on_are_validation_images(
    exported: dict[Precision, Artifact], small_split: Split, digits: Any, precision: Precision
) -> None:
    chosen = exported[precision].details["images"]
    assert len(chosen) == 64
    assert set(chosen) <= set(small_split.validation)
    (kept,) = references(exported[precision]).inputs
    pictures = np.stack([digits.picture(index) for index in chosen])
    assert np.allclose(kept, pictures.transpose(0, 3, 1, 2) / 255)


@both
def test_the_kept_outputs_are_those_of_the_float_network_and_of_what_was_exported(
    exported: dict[Precision, Artifact], net: Any, sim: Any, precision: Precision
) -> None:
    kept = references(exported[precision])
    batch = torch.from_numpy(kept.inputs[0])
    source = net if precision is Precision.FLOAT else sim.model
    with torch.no_grad():
        assert np.allclose(kept.float[0], net(batch).numpy(), atol=1e-5)
        assert np.allclose(kept.source[0], source(batch).numpy(), atol=1e-5)


def test_the_float_outputs_of_four_test_images_are_kept_to_be_drawn(
    exported: dict[Precision, Artifact], net: Any, small_split: Split, digits: Any
) -> None:
    shown = exported[Precision.W8A8].details["shown"]
    assert len(shown) == 4
    assert set(shown) <= set(small_split.test)
    pictures = np.stack([digits.picture(index) for index in shown]).transpose(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = net(torch.from_numpy(pictures.astype(np.float32))).numpy()
    assert np.allclose(references(exported[Precision.W8A8]).shown[0], expected, atol=1e-5)


@both
def test_the_agreement_is_recorded(exported: dict[Precision, Artifact], precision: Precision) -> None:
    details = exported[precision].details
    assert details["onnx_vs_source_sqnr_db"] > {Precision.FLOAT: 80, Precision.W8A8: 25}[precision]
    assert details["onnx_vs_source_max_difference"] < 0.5
    assert details["precision"] == precision.value


def test_the_quantized_model_comes_from_the_simulation_and_the_float_one_from_the_weights(
    exported: dict[Precision, Artifact], weights: Artifact, simulation: Artifact
) -> None:
    assert exported[Precision.FLOAT].parents == weights.lineage
    assert exported[Precision.W8A8].parents == simulation.lineage
    assert simulation.hash in exported[Precision.W8A8].parents.values()


def test_a_program_for_litert_is_written_only_if_a_target_needs_it(
    weights: Artifact, small_split: Split, exported: dict[Precision, Artifact]
) -> None:
    spec = ClassifierSpec(recipe="classifier", targets=Targets(runtimes=(RuntimeName.ONNX,)))
    arguments = {"spec": spec, "precision": Precision.FLOAT, "subject": "digits"}
    found = export(small_split, weights, weights, ExportParameters(check_images=4), **arguments)
    assert isinstance(found, Artifact)
    assert set(found.files) == {"model.onnx", "references.npz"}
    assert set(exported[Precision.FLOAT].files) == {"model.onnx", "references.npz", "model.pt2"}


def test_a_simulation_that_does_not_fit_its_weights_is_a_failure(
    weights: Artifact, simulation: Artifact, small_split: Split, spec: ModelSpec
) -> None:
    other = state_to_bytes({"head.weight": torch.zeros(3)})
    broken = replace(simulation, files={**simulation.files, "simulation.pt": other})
    arguments = {"spec": spec, "precision": Precision.W8A8, "subject": "digits/w8a8"}
    found = export(small_split, weights, broken, ExportParameters(check_images=4), **arguments)
    assert isinstance(found, Failure)
    assert (found.stage, found.subject) == ("export", "digits/w8a8")


def test_a_network_whose_outputs_are_not_numbers_is_a_failure(
    weights: Artifact, net: Any, small_split: Split, spec: ModelSpec
) -> None:
    state = net.state_dict()
    state["head.weight"] = torch.full_like(state["head.weight"], float("nan"))
    broken = replace(weights, files={"weights.pt": state_to_bytes(state)})
    arguments = {"spec": spec, "precision": Precision.FLOAT, "subject": "digits/float"}
    found = export(small_split, broken, broken, ExportParameters(check_images=4), **arguments)
    assert isinstance(found, Failure)
