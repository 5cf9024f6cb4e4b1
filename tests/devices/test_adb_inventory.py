"""Android devices in devices.yml, and what is wrong with an entry."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.types import RuntimeName
from edge_pipeline.devices.inventory import DeviceSpec


@pytest.mark.parametrize(
    "serial", ["R58M123ABC", "192.0.2.8:5555", "emulator-5554", "adb-1A2B-x9._adb-tls-connect._tcp"]
)
def test_an_address_is_a_serial(serial: str) -> None:
    found = DeviceSpec.model_validate({"kind": "adb", "address": serial})
    assert found.engines == (RuntimeName.ONNX, RuntimeName.TFLITE)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "an adb device needs `address`, its serial in `adb devices`"),
        ({"address": "my phone"}, "'my phone' is no serial of `adb devices`"),
        ({"address": "-s"}, "'-s' is no serial"),
        ({"address": ""}, "'' is no serial"),
        ({"address": "R58M123ABC", "keys": ["~/key"]}, "keys: only a device of kind ssh has this"),
        (
            {"address": "R58M123ABC", "known_hosts": "~/hosts", "keys": []},
            "keys, known_hosts: only a device of kind ssh has this",
        ),
        ({"address": "R58M123ABC", "adb_server": "192.0.2.9"}, "Extra inputs are not permitted"),
        ({"address": "R58M123ABC", "chip": "QCS9999"}, "the chip 'QCS9999' is not known"),
    ],
)
def test_a_mistake_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DeviceSpec.model_validate({"kind": "adb", **entry})


def test_this_machine_has_no_serial() -> None:
    with pytest.raises(ValidationError, match="address, python: only a device of kind ssh or adb has this"):
        DeviceSpec.model_validate({"kind": "host", "address": "R58M123ABC", "python": "python3"})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"benchmark_model": "benchmark_model"}, "String should match pattern"),
        ({"benchmark_model": "/data/b\nrm"}, "String should match pattern"),
        ({"benchmark_model": "/b", "python": "python3"}, "python: not with `benchmark_model`"),
        ({"benchmark_model": "/b", "power_sensor": "x"}, "power_sensor: not with `benchmark_model`"),
        ({"benchmark_model": "/b", "runtimes": ["onnx", "tflite"]}, "onnx: `benchmark_model` runs tflite alone"),
        (
            {"benchmark_model": "/b", "execution": {"tflite": {"compute_unit": "npu", "delegate": "/x.so"}}},
            "the delegate of tflite is xnnpack or none",
        ),
        (
            {"benchmark_model": "/b", "kind": "ssh", "address": "a@192.0.2.7"},
            "benchmark_model: only a device of kind adb has this",
        ),
    ],
)
def test_a_mistake_with_a_phone_without_python_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DeviceSpec.model_validate({"kind": "adb", "address": "R58M123ABC", **entry})


def test_a_phone_without_python_runs_tflite_alone() -> None:
    found = DeviceSpec(kind="adb", address="R58M123ABC", benchmark_model="/data/local/tmp/benchmark_model")
    assert found.engines == (RuntimeName.TFLITE,)
