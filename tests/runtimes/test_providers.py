"""ONNX Runtime with the execution provider that was chosen, in a process of its own as always."""

import json
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.types import Artifact
from edge_pipeline.devices.local import act
from edge_pipeline.runtimes.providers import EngineError, check_taken
from edge_pipeline.runtimes.session import open_session
from tests.runtimes.engines import inputs, onnx_artifact

QNN = {"provider": "QNNExecutionProvider"}
NPU, GPU = {**QNN, "compute_unit": "npu"}, {**QNN, "compute_unit": "gpu"}


def acted(action: str, artifact: Artifact, engine: dict[str, Any], **more: Any) -> bytes:
    more = {"runs": 2, **more} if action == "layers" else more
    return act(action, artifact, inputs(1), 1, 60.0, "net@board/onnx/float", engine=engine, **more)


def test_the_npu_takes_what_it_has_and_the_cpu_the_rest(needs: Any) -> None:
    needs("onnxruntime_qnn")
    layers = json.loads(acted("layers", onnx_artifact(), NPU, soc_model=66))
    placed = {one["name"]: one["compute_unit"] for one in layers}
    assert (placed["conv"], placed["relu"], placed["erf"], placed["sigmoid"]) == ("npu", "npu", "cpu", "npu")
    assert {one["name"]: one["time_ms"] is None for one in layers}["erf"] is False
    assert not any("QNN" in name for name in placed)


def test_a_model_that_the_npu_takes_nothing_of_is_an_error(needs: Any) -> None:
    needs("onnxruntime_qnn")
    with pytest.raises(DeviceError, match="QNNExecutionProvider takes none of the 2 nodes of the model on the npu"):
        acted("infer", _only_erf(), NPU, soc_model=66)


def test_a_gpu_that_is_not_there_is_an_error(needs: Any) -> None:
    needs("onnxruntime_qnn")
    with pytest.raises(DeviceError, match="takes none of the 4 nodes of the model on the gpu: its driver or device"):
        acted("infer", onnx_artifact(), GPU)


def test_a_provider_that_is_not_installed_is_an_error_that_lists_those_there_are() -> None:
    engine = {"compute_unit": "cpu", "provider": "XNNPACKExecutionProvider"}
    with pytest.raises(
        EngineError, match=r"no XNNPACKExecutionProvider on this machine: .* has .*CPUExecutionProvider"
    ):
        open_session("onnx", onnx_artifact().files["model.onnx"], threads=1, engine=engine)


def test_a_library_that_is_no_provider_is_an_error() -> None:
    engine = {"compute_unit": "npu", "provider": "OtherExecutionProvider", "library": "/nowhere/libother.so"}
    with pytest.raises(EngineError, match=r"/nowhere/libother.so is no library of OtherExecutionProvider"):
        open_session("onnx", onnx_artifact().files["model.onnx"], threads=1, engine=engine)


def test_without_a_choice_it_is_the_cpu() -> None:
    session = open_session("onnx", onnx_artifact().files["model.onnx"], threads=1)
    assert "," not in session.version
    assert {one["compute_unit"] for one in session.layers(list(inputs(1)), 1)} == {"cpu"}
    assert np.isfinite(session.invoke(list(inputs(1)))[0]).all()


def test_where_the_runtime_does_not_tell_nothing_is_concluded() -> None:
    check_taken("QNNExecutionProvider", None, NPU)
    check_taken("QNNExecutionProvider", {"QNNExecutionProvider": [1], "CPUExecutionProvider": [2]}, NPU)
    with pytest.raises(EngineError, match="takes none of the 1 nodes"):
        check_taken("QNNExecutionProvider", {"CPUExecutionProvider": [2]}, NPU)


def _only_erf() -> Artifact:
    from dataclasses import replace

    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("input", "output")]
    nodes = [helper.make_node("Erf", ["input"], ["t"]), helper.make_node("Erf", ["t"], ["output"])]
    graph = helper.make_graph(nodes, "net", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return replace(onnx_artifact(), files={"model.onnx": model.SerializeToString()})
