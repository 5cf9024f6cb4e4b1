"""Operators that the NPU does not have, such as Erf."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.devices.htp_emulator import HtpEmulator
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.models.spec import Require
from edge_pipeline.pipelines.gates import unmet
from edge_pipeline.runtimes.chips import chip
from edge_pipeline.runtimes.session import open_session, run

BINARY, ONNX = RuntimeName.QNN_CONTEXT_BINARY, RuntimeName.PRECOMPILED_QNN_ONNX
TARGET = f"digits@npu/{ONNX}/w8a8"


@pytest.fixture(scope="module", params=["MaxPool", None], ids=["in the middle", "at the end"])
def lacking_erf(request: pytest.FixtureRequest, with_operator: Callable[..., Artifact]) -> Artifact:
    return with_operator("Erf", request.param)


@pytest.fixture(scope="module")
def in_parts(lacking_erf: Artifact, compile_qnn: Callable[..., Artifact]) -> Artifact:
    return compile_qnn(engine=ONNX, source=lacking_erf)


def test_a_context_binary_is_refused_naming_the_operator_and_the_other_runtime(
    lacking_erf: Artifact, compile_qnn: Callable[..., Artifact]
) -> None:
    with pytest.raises(CompileError, match=r"does not take inserted \(Erf\); take the runtime precompiled_qnn_onnx"):
        compile_qnn(source=lacking_erf)


def test_a_precompiled_onnx_file_leaves_it_to_the_cpu(in_parts: Artifact) -> None:
    units = {layer["name"]: layer["compute_unit"] for layer in in_parts.details["layers"]}
    assert [name for name, unit in units.items() if unit != "npu"] == ["inserted"]
    assert units["inserted"] == "cpu"


def test_a_model_in_parts_computes_the_same(lacking_erf: Artifact, in_parts: Artifact, images: Any) -> None:
    session = open_session("onnx", lacking_erf.files["model.onnx"], threads=1)
    expected = np.concatenate([run(session, [image[None]])[0] for image in images[:8]])
    emulator = HtpEmulator(chip("QCS8550"))
    ((found,),) = emulator.infer(in_parts, iter([(images[:8],)]), threads=1, time_limit_s=60, target=TARGET)
    assert sqnr_db(expected, found) > 24


def test_the_profile_names_it_and_a_required_share_is_not_met(in_parts: Artifact, images: Any) -> None:
    profile = HtpEmulator(chip("QCS8550")).profile(in_parts, (images[:1],), ProfileSettings(), TARGET)
    count = len(profile.layers)
    assert profile.metrics["npu_layers_pct"] == pytest.approx(100 * (count - 1) / count)
    assert profile.warnings == (f"1 of {count} layers are not on the NPU: inserted (Erf)",)
    gate = unmet(profile, ONNX, Require(npu_layers="100%"))
    assert gate.startswith("100% of the layers must be on the NPU, 9")
    assert gate.endswith("not inserted (Erf)")
    assert unmet(profile, ONNX, Require(npu_layers="80%")) == ""


@pytest.mark.parametrize("engine", [BINARY, ONNX])
def test_a_model_of_which_the_npu_takes_nothing_is_refused(
    compile_qnn: Callable[..., Artifact], with_operator: Callable[..., Artifact], engine: RuntimeName
) -> None:
    import onnx
    from onnx import helper

    source = with_operator("Erf")
    (taken,) = onnx.load_from_string(source.files["model.onnx"]).graph.input
    given = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 1, 8, 8])
    graph = helper.make_graph([helper.make_node("Erf", [taken.name], ["logits"])], "only", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    source.files["model.onnx"] = model.SerializeToString()  # type: ignore[index]
    with pytest.raises(CompileError, match="the NPU takes no layer of this model"):
        compile_qnn(engine=engine, source=source)
