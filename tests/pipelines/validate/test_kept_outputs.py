"""What validation keeps of a target's outputs, so that devices can be compared later."""

import io

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Split, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import ModelSpec
from edge_pipeline.pipelines.references import references
from edge_pipeline.pipelines.validate import nodes, outputs
from edge_pipeline.pipelines.validate.parameters import ValidateParameters
from edge_pipeline.runtimes.session import open_session, run


def predictions(spec: ModelSpec, split: Split, exported: Artifact, compiled: Artifact) -> Artifact:
    target = Target("digits", "host", RuntimeName.ONNX, Precision.W8A8)
    fixed = {"spec": spec, "device": DeviceSpec(kind="host"), "target": target, "subject": target.name}
    _, found = nodes.validate(split, exported, compiled, ValidateParameters(), **fixed)
    assert isinstance(found, Artifact), found
    return found


def test_the_outputs_are_those_of_the_engine_for_the_images_that_are_named(
    spec: ModelSpec,
    small_split: Split,
    exported: dict[Precision, Artifact],
    onnx_compiled: dict[Precision, Artifact],
) -> None:
    source, compiled = exported[Precision.W8A8], onnx_compiled[Precision.W8A8]
    found = predictions(spec, small_split, source, compiled)
    assert found.details["outputs"] == source.details["images"]
    session = open_session("onnx", compiled.files["model.onnx"], threads=1)
    images = references(source).inputs[0]
    expected = np.concatenate([run(session, [images[i : i + 1]])[0] for i in range(len(images))])
    (kept,) = outputs.kept(found)
    np.testing.assert_array_equal(kept, expected)
    assert found.details["interface"]["outputs"][0]["name"] == "logits"


def test_the_same_is_kept_again(
    spec: ModelSpec,
    small_split: Split,
    exported: dict[Precision, Artifact],
    onnx_compiled: dict[Precision, Artifact],
) -> None:
    made = [predictions(spec, small_split, exported[Precision.W8A8], onnx_compiled[Precision.W8A8]) for _ in range(2)]
    assert made[0].files["outputs.npz"] == made[1].files["outputs.npz"]


@pytest.mark.parametrize(("limit", "rows"), [(8_000_000, 64), (80 * 4, 2), (80 * 4 - 1, 1), (1, 1)])
def test_as_many_images_are_kept_as_fit_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch, limit: int, rows: int
) -> None:
    monkeypatch.setattr(outputs, "KEPT_BYTES", limit)
    tensors = np.random.default_rng(0).random((64, 30), np.float32), np.ones((64, 2, 5), np.float32)
    packed, number = outputs.keep(tensors)
    assert number == rows
    with np.load(io.BytesIO(packed)) as archive:
        for name, tensor in zip(sorted(archive.files), tensors, strict=True):
            np.testing.assert_array_equal(archive[name], tensor[:rows])


def test_the_file_is_compressed() -> None:
    packed, _ = outputs.keep((np.ones((64, 1000), np.float32),))
    assert len(packed) < 10_000
