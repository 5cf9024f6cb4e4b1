"""The patterns of conf/base/catalog.yml, in a real catalog."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DatasetError

from edge_pipeline.core.types import Artifact, Profile, Target, Validation


def test_two_targets_keep_their_results_apart(default_catalog: Any, artifact: Artifact) -> None:
    other = Artifact("compiled", {"model.tflite": b"2"})
    default_catalog.save("digits.host-onnx-w8a8.compiled", artifact)
    default_catalog.save("digits.host-tflite-w8a8.compiled", other)
    assert default_catalog.load("digits.host-onnx-w8a8.compiled") == artifact
    assert default_catalog.load("digits.host-tflite-w8a8.compiled") == other


def test_two_models_keep_their_results_apart(default_catalog: Any, artifact: Artifact) -> None:
    default_catalog.save("one.weights", artifact)
    assert default_catalog.exists("one.weights")
    assert not default_catalog.exists("two.weights")


def test_reports_are_records(
    default_catalog: Any,
    make_profile: Callable[..., Profile],
    make_validation: Callable[..., Validation],
    target: Target,
) -> None:
    default_catalog.save("digits.host-onnx-float.profile", make_profile(target))
    default_catalog.save("digits.host-onnx-float.validation", make_validation(target))
    assert default_catalog.load("digits.host-onnx-float.profile") == make_profile(target)
    assert default_catalog.load("digits.host-onnx-float.validation") == make_validation(target)


@pytest.mark.parametrize("kind", ["profile", "validation"])
def test_reports_that_were_never_made_are_none(default_catalog: Any, kind: str) -> None:
    assert default_catalog.load(f"digits.host-onnx-float.{kind}") is None


@pytest.mark.parametrize("name", ["split", "weights", "w8a8.simulation", "float.exported", "host-onnx-float.compiled"])
def test_what_other_stages_need_is_an_error_when_it_was_never_made(default_catalog: Any, name: str) -> None:
    with pytest.raises(DatasetError, match="the stage that makes it has not run"):
        default_catalog.load(f"digits.{name}")


def test_checkpoints_are_a_folder_that_is_there_for_the_asking(default_catalog: Any, tmp_path: Path) -> None:
    assert default_catalog.exists("digits.checkpoints")
    folder = default_catalog.load("digits.checkpoints")
    assert folder.resolve() == tmp_path / "data/06_models/digits/checkpoints"
    with pytest.raises(DatasetError, match="not an output"):
        default_catalog.save("digits.checkpoints", folder)
