"""What a user writes into `execution` and `power_sensor` of devices.yml."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.execution import Execution
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.config import parse

BOARD = {"kind": "ssh", "address": "edge@192.0.2.7"}
LIBRARY = "/usr/lib/libQnnTFLiteDelegate.so"


def asked(runtime: RuntimeName, **engine: Any) -> Any:
    return Execution.model_validate({runtime.value: engine}).request(runtime)


def test_nothing_chosen_is_what_every_machine_has() -> None:
    for runtime in (RuntimeName.ONNX, RuntimeName.TFLITE):
        assert (Execution().request(runtime), Execution().unit(runtime)) == ({}, "cpu")
    assert Execution().unit(RuntimeName.QNN_CONTEXT_BINARY) == "npu"


@pytest.mark.parametrize(
    ("engine", "provider"),
    [
        ({"provider": "XNNPACK"}, "XNNPACKExecutionProvider"),
        ({"compute_unit": "npu"}, "QNNExecutionProvider"),
        ({"compute_unit": "gpu"}, "QNNExecutionProvider"),
        ({"compute_unit": "gpu", "provider": "CUDAExecutionProvider"}, "CUDAExecutionProvider"),
    ],
)
def test_a_provider_is_named_or_follows_from_the_compute_unit(engine: dict[str, Any], provider: str) -> None:
    assert asked(RuntimeName.ONNX, **engine)["provider"] == provider


def test_options_become_the_text_that_engines_take() -> None:
    options = {"htp_performance_mode": "burst", "vtcm_mb": 4, "enable": True}
    found = asked(RuntimeName.ONNX, compute_unit="npu", options=options)["options"]
    assert found == {"htp_performance_mode": "burst", "vtcm_mb": "4", "enable": "1"}
    assert asked(RuntimeName.TFLITE, compute_unit="npu", delegate=LIBRARY, options={"backend_type": "htp"}) == {
        "compute_unit": "npu",
        "delegate": LIBRARY,
        "options": {"backend_type": "htp"},
    }


@pytest.mark.parametrize(
    ("execution", "why"),
    [
        ({"onnx": {"compute_unit": "npu", "provider": "XNNPACK"}}, "XNNPACKExecutionProvider computes on the cpu"),
        ({"onnx": {"provider": "QNN"}}, "QNNExecutionProvider computes on the npu or the gpu"),
        ({"onnx": {"options": {"a": 1}}}, "the CPU's provider takes no options"),
        ({"onnx": {"provider": "a b"}}, "match pattern"),
        ({"onnx": {"compute_unit": "dsp"}}, "'npu', 'gpu' or 'cpu'"),
        ({"tflite": {"compute_unit": "npu"}}, "on the npu `delegate` is needed"),
        ({"tflite": {"delegate": "gpu"}}, "'gpu' is no delegate: xnnpack, none, or the path of a library"),
        ({"tflite": {"options": {"a": 1}}}, "the delegate xnnpack takes no options"),
        ({"qnn_context_binary": {"compute_unit": "cpu"}}, "'npu'"),
        ({"openvino": {}}, "Extra inputs"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(execution: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        DeviceSpec.model_validate({**BOARD, "execution": execution})


@pytest.mark.parametrize("key", ["execution", "power_sensor"])
def test_an_emulator_has_neither(key: str) -> None:
    value: Any = "ina226" if key == "power_sensor" else {"onnx": {"compute_unit": "npu"}}
    with pytest.raises(ValidationError, match=f"{key}: only a device of kind ssh or adb has this"):
        DeviceSpec.model_validate({"kind": "htp_emulator", "chip": "QCS8550", key: value})


def test_this_machine_has_a_power_sensor_too() -> None:
    assert DeviceSpec(kind="host", power_sensor="ina226*").power_sensor == "ina226*"


def test_a_board_with_a_runtime_of_the_npu_names_its_chip() -> None:
    wanted = {**BOARD, "runtimes": ["onnx", "qnn_context_binary"]}
    with pytest.raises(ValidationError, match="qnn_context_binary: models for an NPU are compiled for one chip"):
        DeviceSpec.model_validate(wanted)
    assert DeviceSpec.model_validate({**wanted, "chip": "QCS8550"}).engines == ("onnx", "qnn_context_binary")


def test_a_misspelt_key_is_told_with_its_place_and_the_closest(tmp_path: Any) -> None:
    devices = {"rb3": {**BOARD, "execution": {"tflite": {"delegat": LIBRARY}}}}
    with pytest.raises(ConfigError, match=r"devices.yml: rb3.execution.tflite: unknown key 'delegat'; .*'delegate'"):
        parse(tmp_path, {}, devices, {}, {})
