"""Compile for the NPU of a chip, by Qualcomm's own compiler."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from edge_pipeline.core.errors import CompileError, DeviceError
from edge_pipeline.core.types import Artifact, Precision, RuntimeName

Compile = Callable[..., Artifact]
BINARY, ONNX = RuntimeName.QNN_CONTEXT_BINARY, RuntimeName.PRECOMPILED_QNN_ONNX


@pytest.mark.parametrize("engine", [BINARY, ONNX])
@pytest.mark.parametrize(("chip", "soc_model", "hexagon"), [("QCS8550", 66, "v73"), ("QCS6490", 93, "v68")])
def test_all_layers_of_a_quantized_model_are_on_the_npu_of_the_chip(
    compile_qnn: Compile, engine: RuntimeName, chip: str, soc_model: int, hexagon: str
) -> None:
    found = compile_qnn(chip, engine).details
    assert (found["chip"], found["soc_model"], found["hexagon"]) == (chip, soc_model, hexagon)
    assert {layer["compute_unit"] for layer in found["layers"]} == {"npu"}
    assert [layer["type"] for layer in found["layers"]].count("Conv") == 3
    assert not {"QuantizeLinear", "DequantizeLinear"} & {layer["type"] for layer in found["layers"]}


def test_the_artifact_says_what_it_is_and_what_it_was_made_from(
    exported: dict[Precision, Artifact], qnn_compiled: Artifact
) -> None:
    details, source = qnn_compiled.details, exported[Precision.W8A8]
    assert (details["model"], details["runtime"], details["precision"]) == ("model.bin", "qnn_context_binary", "w8a8")
    assert details["interface"] == source.details["interface"]
    assert details["options"]["finalization_optimization"] == 3
    assert details["qairt"].startswith("v2.")
    assert details["compile_s"] > 0
    assert "note" not in details
    assert qnn_compiled.parents == source.lineage
    assert set(qnn_compiled.tools) >= {"onnxruntime-qnn", "onnxruntime", "aimet-torch"}


def test_a_context_binary_comes_with_the_names_of_its_tensors(qnn_compiled: Artifact) -> None:
    assert set(qnn_compiled.files) == {"model.bin", "tensors.json"}
    tensors = json.loads(qnn_compiled.files["tensors.json"])
    (given,), (taken,) = tensors["outputs"], tensors["inputs"]
    assert (taken["tensor"], taken["dtype"], taken["shape"]) == ("image", "float32", [1, 1, 8, 8])
    assert (given["tensor"], given["dtype"], given["shape"]) == ("logits", "float32", [1, 10])


def test_a_precompiled_onnx_file_holds_nothing_but_the_context_beside_it(compile_qnn: Compile) -> None:
    found = compile_qnn(engine=ONNX)
    nodes = onnx.load_from_string(found.files["model.onnx"]).graph.node
    assert [node.op_type for node in nodes] == ["EPContext"]
    (binary,) = (attribute.s.decode() for attribute in nodes[0].attribute if attribute.name == "ep_cache_context")
    assert set(found.files) == {"model.onnx", binary}


def test_with_quantized_boundaries_the_graph_takes_and_gives_integers(compile_qnn: Compile) -> None:
    tensors = json.loads(compile_qnn(options={"quantize_io": True}).files["tensors.json"])
    for side in ("inputs", "outputs"):
        (one,) = tensors[side]
        assert one["dtype"] == "uint8"
        assert one["scale"] > 0
        assert 0 <= one["zero_point"] <= 255


def test_options_are_given_to_the_compiler_and_kept(compile_qnn: Compile) -> None:
    options = {
        "vtcm_mb": 2,
        "priority": "high",
        "performance_mode": "burst",
        "finalization_optimization": 1,
        "quantize_io": False,
    }
    assert compile_qnn(options=options).details["options"] == options


@pytest.mark.parametrize("engine", [BINARY, ONNX])
def test_a_float16_model_is_compiled_where_the_chip_has_float16(
    compile_qnn: Compile, exported_float16: Artifact, engine: RuntimeName
) -> None:
    found = compile_qnn("QCS8550", engine, exported_float16)
    assert found.details["precision"] == "float16"
    assert {layer["compute_unit"] for layer in found.details["layers"]} == {"npu"}


def test_a_float16_model_is_refused_where_the_chip_has_integers_only(
    compile_qnn: Compile, exported_float16: Artifact
) -> None:
    expected = r"/float16: the NPU of QCS6490 \(Hexagon v68\) does not compute in float16; quantize .* w8a8 or w8a16"
    with pytest.raises(CompileError, match=expected):
        compile_qnn("QCS6490", BINARY, exported_float16)


def test_a_chip_whose_number_is_not_public_is_compiled_as_its_nearest_which_is_said(compile_qnn: Compile) -> None:
    found = compile_qnn("QCS5430").details
    assert (found["chip"], found["soc_model"]) == ("QCS5430", 93)
    assert "treated as QCS6490" in found["note"]


def test_a_chip_that_does_not_exist_is_refused_with_the_closest_name(compile_qnn: Compile) -> None:
    with pytest.raises(DeviceError, match="did you mean 'QCS8550'"):
        compile_qnn("QCS8555")


def test_a_device_without_a_chip_has_no_npu(compile_qnn: Compile) -> None:
    with pytest.raises(CompileError, match=r"digits@npu/qnn_context_binary/w8a8: the device has no `chip`"):
        compile_qnn(None)


def test_dynamic_shapes_are_refused_naming_the_input(compile_qnn: Compile, exported: dict[Precision, Artifact]) -> None:
    model = onnx.load_from_string(exported[Precision.W8A8].files["model.onnx"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    dynamic = replace(exported[Precision.W8A8], files={"model.onnx": model.SerializeToString()})
    with pytest.raises(CompileError, match=r"the input 'image' has the dynamic shape \['N', 1, 8, 8\]"):
        compile_qnn(source=dynamic)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_broken_model_is_refused_naming_the_target(
    compile_qnn: Compile, exported: dict[Precision, Artifact], share: float
) -> None:
    data = exported[Precision.W8A8].files["model.onnx"]
    broken = replace(exported[Precision.W8A8], files={"model.onnx": b"x" + data[: int(share * len(data))]})
    with pytest.raises(CompileError, match="digits@npu/qnn_context_binary/w8a8: the exported ONNX file cannot be read"):
        compile_qnn(source=broken)


def test_a_float_model_on_a_chip_without_float16_is_refused_naming_its_layers(
    compile_qnn: Compile, exported: dict[Precision, Artifact]
) -> None:
    with pytest.raises(CompileError) as raised:
        compile_qnn("QCS6490", BINARY, exported[Precision.FLOAT])
    told = str(raised.value)
    assert "The compiler does not take " in told
    assert "(Conv)" in told
    assert "_token_" not in told
    assert "float models need float16, which this chip lacks" in told


def test_a_compilation_over_its_time_limit_is_stopped_naming_the_limit(compile_qnn: Compile) -> None:
    with pytest.raises(CompileError, match=r"digits@npu/.*time limit of 0\.1 s\. Raise `compile\.time_limit_s`"):
        compile_qnn(time_limit_s=0.1)


@pytest.mark.parametrize("limit", [100, 300])
def test_a_compilation_over_its_memory_limit_says_so_and_names_the_limit(compile_qnn: Compile, limit: int) -> None:
    with pytest.raises(CompileError) as raised:
        compile_qnn(memory_limit_mb=limit)
    told = str(raised.value)
    assert told.startswith("digits@npu/qnn_context_binary/w8a8: the QNN compiler failed; it needed more memory")
    assert f"its limit of {limit} MB" in told
    assert told.endswith("Raise `compile.memory_limit_mb`.")


def test_a_compiler_that_crashes_is_an_error_of_its_target(
    compile_qnn: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime_qnn.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CompileError, match=r"digits@npu/.*the QNN compiler failed; it died of SIGSEGV"):
        compile_qnn()


def test_nothing_is_left_behind(compile_qnn: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compile_qnn()
    with pytest.raises(CompileError):
        compile_qnn(time_limit_s=0.3)
    assert list(tmp_path.iterdir()) == []


def test_the_options_are_checked() -> None:
    from pydantic import ValidationError

    from edge_pipeline.runtimes.qnn_options import QnnOptions

    wrong: Any
    for wrong in ({"finalization_optimization": 4}, {"vtcm_mb": 0}, {"priority": "urgent"}, {"vtcm": 2}):
        with pytest.raises(ValidationError):
            QnnOptions(**wrong)
