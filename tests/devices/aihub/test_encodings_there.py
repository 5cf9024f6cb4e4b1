"""Quantized models are sent as QDQ, or as float with AIMET's encodings."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.aihub.conftest import Hub, compile_there, infer, target


def test_both_give_the_same_model(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact], images: Any, needs: Any
) -> None:
    needs("aimet_onnx")
    source, wanted = exported[Precision.W8A8], target(precision="w8a8")
    found = {}
    for encodings in (False, True):
        artifact = compile_there(device, source, wanted, encodings=encodings)
        found[artifact.details["hub"]["source"]] = infer(device, artifact, images)[0][0]
    np.testing.assert_array_equal(found["onnx"], found["onnx with encodings"])
    kinds = {one.model_type for _, one in hub.server._store.all("models") if not one.producer_id}
    from qai_hub import public_api_pb2 as pb

    assert kinds == {pb.MODEL_TYPE_ONNX, pb.MODEL_TYPE_AIMET_ONNX}


def test_a_float_model_has_none_and_is_sent_as_it_is(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    made = compile_there(device, exported[Precision.FLOAT], encodings=True)
    assert made.details["hub"]["source"] == "onnx"


def test_a_model_without_encodings_is_not_sent(
    hub: Hub, device: DeviceSpec, exported: dict[Precision, Artifact]
) -> None:
    source = exported[Precision.W8A8]
    bare = replace(source, files={"model.onnx": source.files["model.onnx"]})
    with pytest.raises(CompileError, match=r"has no qairt.onnx and no qairt.encodings.*`compile.hub_source: qdq`"):
        compile_there(device, bare, target(precision="w8a8"), encodings=True)
    assert hub.jobs() == []
