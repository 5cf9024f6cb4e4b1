from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from edge_pipeline.core.types import Precision, RuntimeName
from edge_pipeline.datasets.spec import DigitsSpec, ImageFolderSpec
from edge_pipeline.models.spec import ClassifierSpec, ModelSpec, Targets

MODEL: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)


def test_only_the_recipe_has_to_be_said() -> None:
    spec = MODEL.validate_python({"recipe": "classifier"})
    assert spec.dataset == DigitsSpec()
    assert len(spec.expand("m")) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": "resnet"},
        {"task": "segmentation"},
        {"classes": 1},
        {"image_shape": [8, 8]},
        {"recpie": "small_cnn"},
        {"targets": {"devices": []}},
        {"targets": {"runtimes": ["onxx"]}},
        {"targets": {"precision": ["float"]}},
        {"dataset": {"type": "digits", "path": "x"}},
        {"dataset": {"type": "image_folder"}},
        {"dataset": {"path": "x"}},
    ],
    ids=str,
)
def test_wrong_entries_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MODEL.validate_python({"recipe": "classifier", **change})


@pytest.mark.parametrize(
    "change", [{"devices": ["host", "host"]}, {"runtimes": ["onnx", "onnx"]}, {"precisions": ["w8a8", "float", "w8a8"]}]
)
def test_an_entry_named_twice_is_refused(change: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError, match="names an entry twice"):
        Targets.model_validate(change)


def test_the_type_chooses_the_dataset() -> None:
    dataset = {"type": "image_folder", "path": "images"}
    spec = MODEL.validate_python({"recipe": "classifier", "dataset": dataset})
    assert spec.dataset == ImageFolderSpec(type="image_folder", path="images")


def test_targets_are_every_combination_in_the_order_of_the_file() -> None:
    targets = {"devices": ["rb3", "host"], "runtimes": ["tflite", "onnx"], "precisions": ["w8a8", "float"]}
    spec = MODEL.validate_python({"recipe": "classifier", "targets": targets})
    assert [target.name for target in spec.expand("m")] == [
        "m@rb3/tflite/w8a8",
        "m@rb3/tflite/float",
        "m@rb3/onnx/w8a8",
        "m@rb3/onnx/float",
        "m@host/tflite/w8a8",
        "m@host/tflite/float",
        "m@host/onnx/w8a8",
        "m@host/onnx/float",
    ]


def test_targets_hold_typed_names() -> None:
    (target,) = ClassifierSpec(recipe="classifier", targets=Targets(runtimes=("onnx",), precisions=("w8a8",))).expand(
        "m"
    )
    assert (target.runtime, target.precision) == (RuntimeName.ONNX, Precision.W8A8)


@pytest.mark.parametrize("shape", [(2, 8, 8), (0, 8, 8), (1, 0, 8), (1, -8, 8)], ids=str)
def test_image_shapes_that_no_image_has_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValidationError):
        ClassifierSpec(recipe="classifier", image_shape=shape)
