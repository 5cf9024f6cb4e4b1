"""The emulator of the NPU: numbers and placement, never times."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.core.types import Artifact, Precision, Profile, RuntimeName
from edge_pipeline.devices.htp_emulator import HtpEmulator
from edge_pipeline.devices.inventory import DeviceSpec, connect
from edge_pipeline.devices.settings import ProfileSettings
from edge_pipeline.runtimes.chips import chip
from edge_pipeline.runtimes.session import open_session, run

BINARY, ONNX = RuntimeName.QNN_CONTEXT_BINARY, RuntimeName.PRECOMPILED_QNN_ONNX
TARGET = "digits@npu/qnn_context_binary/w8a8"


def infer(artifact: Artifact, images: Any, name: str = "QCS8550", time_limit_s: float = 60) -> Any:
    batches = iter([(images,)])
    emulator = HtpEmulator(chip(name))
    ((outputs,),) = emulator.infer(artifact, batches, threads=1, time_limit_s=time_limit_s, target=TARGET)
    return outputs


def profiled(artifact: Artifact, images: Any, name: str = "QCS8550") -> Profile:
    return HtpEmulator(chip(name)).profile(artifact, (images[:2],), ProfileSettings(), TARGET)


def on_onnx(exported: Artifact, images: Any) -> Any:
    session = open_session("onnx", exported.files["model.onnx"], threads=1)
    return np.concatenate([run(session, [image[None]])[0] for image in images])


@pytest.mark.parametrize("engine", [BINARY, ONNX])
@pytest.mark.parametrize("name", ["QCS8550", "QCS6490"])
def test_the_integers_are_those_of_onnx_runtime_up_to_rounding(
    compile_qnn: Callable[..., Artifact],
    exported: dict[Precision, Artifact],
    images: Any,
    engine: RuntimeName,
    name: str,
) -> None:
    found = infer(compile_qnn(name, engine), images, name)
    assert sqnr_db(on_onnx(exported[Precision.W8A8], images), found) > 24


def test_float16_agrees_with_onnx_runtime(
    compile_qnn: Callable[..., Artifact], exported_float16: Artifact, images: Any
) -> None:
    found = infer(compile_qnn(source=exported_float16), images)
    assert sqnr_db(on_onnx(exported_float16, images), found) > 40


def test_a_second_run_gives_the_same(qnn_compiled: Artifact, images: Any) -> None:
    assert np.array_equal(infer(qnn_compiled, images[:8]), infer(qnn_compiled, images[:8]))


def test_quantized_boundaries_give_the_same(
    compile_qnn: Callable[..., Artifact], qnn_compiled: Artifact, images: Any
) -> None:
    integers = infer(compile_qnn(options={"quantize_io": True}), images[:8])
    assert integers == pytest.approx(infer(qnn_compiled, images[:8]), abs=1e-5)


def test_a_binary_of_another_chip_is_refused_naming_both(compile_qnn: Callable[..., Artifact], images: Any) -> None:
    other = compile_qnn("QCS6490")
    expected = rf"{TARGET}: the artifact was compiled for QCS6490, the device is QCS8550"
    for use in (infer, profiled):
        with pytest.raises(DeviceError, match=expected):
            use(other, images[:1])


def test_an_artifact_for_no_npu_is_refused(onnx_compiled: dict[Precision, Artifact], images: Any) -> None:
    with pytest.raises(DeviceError, match="was compiled for no NPU"):
        infer(onnx_compiled[Precision.W8A8], images[:1])


def test_a_binary_of_another_version_is_refused_naming_both(qnn_compiled: Artifact, images: Any) -> None:
    older = replace(qnn_compiled, tools={**qnn_compiled.tools, "onnxruntime-qnn": "2.6.0"})
    for use in (infer, profiled):
        with pytest.raises(DeviceError, match=r"compiled with onnxruntime-qnn 2\.6\.0, .* is installed; run `kedro"):
            use(older, images[:1])


@pytest.mark.parametrize("damage", ["empty", "truncated", "another header", "scrambled"])
def test_a_damaged_binary_is_an_error_and_no_crash(qnn_compiled: Artifact, images: Any, damage: str) -> None:
    whole = qnn_compiled.files["model.bin"]
    quarter = len(whole) // 4
    scrambled = bytes(one ^ 255 for one in whole[quarter : quarter + 4000])
    wrong = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "another header": whole[:16] + bytes(one ^ 255 for one in whole[16:200]) + whole[200:],
        "scrambled": whole[:quarter] + scrambled + whole[quarter + 4000 :],
    }[damage]
    damaged = replace(qnn_compiled, files={**qnn_compiled.files, "model.bin": wrong})
    with pytest.raises(DeviceError, match=rf"{TARGET}: the device 'htp_emulator' could not infer the artifact; it"):
        infer(damaged, images[:1])


@pytest.mark.parametrize("place", [0.0005, 0.3, 0.6, 0.9])
def test_a_flipped_bit_is_an_error_or_another_number_and_no_crash(
    qnn_compiled: Artifact, images: Any, place: float
) -> None:
    changed = bytearray(qnn_compiled.files["model.bin"])
    changed[int(place * len(changed))] ^= 64
    damaged = replace(qnn_compiled, files={**qnn_compiled.files, "model.bin": bytes(changed)})
    with contextlib.suppress(DeviceError):
        assert np.isfinite(infer(damaged, images[:1])).all()


def test_a_batch_over_its_time_limit_is_stopped(qnn_compiled: Artifact, images: Any) -> None:
    with pytest.raises(DeviceError, match=rf"{TARGET}: .*time limit of 0\.05 s"):
        infer(qnn_compiled, images, time_limit_s=0.05)


def test_a_profile_has_placement_and_size_and_no_times_or_memory(qnn_compiled: Artifact, images: Any) -> None:
    found = profiled(qnn_compiled, images)
    assert set(found.metrics) == {"npu_layers_pct", "fused_layers", "compile_s", "size_mb"}
    assert found.metrics["npu_layers_pct"] == 100
    assert found.metrics["size_mb"] == qnn_compiled.size_bytes / 1e6
    assert found.repeats == ()
    assert all(layer.time_ms is None for layer in found.layers)
    assert (found.target, found.artifact, found.warnings) == (TARGET, qnn_compiled.hash, ())
    assert found.runtime_version.startswith("onnxruntime-qnn 2.")
    assert "QAIRT v2." in found.runtime_version


def test_an_activation_is_fused_into_its_convolution(qnn_compiled: Artifact, images: Any) -> None:
    found = profiled(qnn_compiled, images)
    fused = {layer.type: layer.fused for layer in found.layers}
    assert fused["Relu"]
    assert not fused["Conv"]
    assert found.metrics["fused_layers"] == 3


def test_what_must_be_said_of_a_chip_is_said_beside_its_results(
    compile_qnn: Callable[..., Artifact], images: Any
) -> None:
    found = profiled(compile_qnn("QCS5430"), images, "QCS5430")
    assert found.device == {"kind": "htp_emulator", "chip": "QCS5430", "hexagon": "v68", "note": found.warnings[0]}
    assert "treated as QCS6490" in found.warnings[0]


def test_the_inventory_connects_to_the_emulator_of_the_chip() -> None:
    spec = DeviceSpec(kind="htp_emulator", chip="snapdragon 8 gen 3")
    assert connect(spec).describe() == {"kind": "htp_emulator", "chip": "SM8650", "hexagon": "v75"}
    assert spec.emulated
    assert set(spec.engines) == {BINARY, ONNX}
