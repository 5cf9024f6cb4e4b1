"""Targets of NPUs in models.yml and devices.yml."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.config import Project, parse

DEVICES = {
    "host": {"kind": "host"},
    "npu": {"kind": "htp_emulator", "chip": "QCS8550"},
    "integers": {"kind": "htp_emulator", "chip": "QCS6490"},
}
NPU = {"devices": ["host", "npu"], "runtimes": ["onnx", "qnn_context_binary"], "precisions": ["w8a8"]}


def project(targets: dict[str, Any], devices: Any = DEVICES, **parameters: Any) -> Project:
    models = {"digits": {"recipe": "classifier", "targets": targets}}
    return parse(Path("/project"), models, devices, {"digits": parameters}, {})


def problems(targets: dict[str, Any], devices: Any = DEVICES, **parameters: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        project(targets, devices, **parameters)
    return raised.value.problems


def test_each_device_has_the_targets_that_it_can_run() -> None:
    found = project({**NPU, "devices": ["host", "npu", "integers"]})
    assert [target.name for target in found.targets("digits")] == [
        "digits@host/onnx/w8a8",
        "digits@npu/qnn_context_binary/w8a8",
        "digits@integers/qnn_context_binary/w8a8",
    ]


def test_the_projects_environment_of_npus_is_right() -> None:
    conf = Path(__file__).parents[2] / "conf" / "npu"
    models, devices = (yaml.safe_load((conf / f"{name}.yml").read_text()) for name in ("models", "devices"))
    found = parse(Path("/project"), models, devices, {}, {})
    targets = [target.name for target in found.targets("digits")]
    assert "digits@qcs6490_emulator/qnn_context_binary/w8a8" in targets
    assert not any("emulator" in name and name.endswith(("/float", "tflite/w8a8")) for name in targets)


def test_the_environment_of_npus_has_the_parameters_of_the_small_one() -> None:
    conf = Path(__file__).parents[2] / "conf"
    small, npu = (
        OmegaConfigLoader(str(conf), base_env="base", default_run_env="local", env=env)["parameters"]
        for env in ("small", "npu")
    )
    assert npu == small
    assert npu["yolov8_det"] != OmegaConfigLoader(str(conf), base_env="base")["parameters"]["yolov8_det"]


def test_a_float_model_on_an_npu_is_refused_naming_what_to_exclude() -> None:
    expected = (
        "models.yml: digits.targets: the runtime 'qnn_context_binary' cannot run 'float', only float16, w8a8, w8a16, "
        "w4a8, w4a16, mixed; leave it out with `exclude: [qnn_context_binary/float]`"
    )
    targets = {**NPU, "precisions": ["float", "w8a8"]}
    assert problems(targets) == (expected,)
    project({**targets, "exclude": ["qnn_context_binary/float"]})


def test_a_device_without_any_of_the_runtimes_is_refused_naming_its_own() -> None:
    found = problems({**NPU, "devices": ["host", "npu"], "runtimes": ["onnx"]})
    assert found == (
        "models.yml: digits.targets.devices: 'npu' is of the kind 'htp_emulator', which has none of the runtimes onnx, "
        "only qnn_context_binary, precompiled_qnn_onnx",
    )


def test_a_runtime_that_no_device_has_is_refused() -> None:
    found = problems({**NPU, "devices": ["host"]})
    assert found == (
        "models.yml: digits.targets.runtimes: none of the devices host has the runtime 'qnn_context_binary'",
    )


def test_an_emulator_without_a_chip_is_refused() -> None:
    (found,) = problems(NPU, {**DEVICES, "npu": {"kind": "htp_emulator"}})
    assert found.startswith("devices.yml: npu: an htp_emulator needs `chip`, which it stands in for")


def test_a_chip_that_does_not_exist_is_refused_with_the_closest_name() -> None:
    (found,) = problems(NPU, {**DEVICES, "npu": {"kind": "htp_emulator", "chip": "QCS8555"}})
    assert found.startswith("devices.yml: npu.chip: the chip 'QCS8555' is not known; did you mean 'QCS8550'?")


@pytest.mark.parametrize(
    ("compile_", "expected"),
    [
        ({"memory_limit_mb": 50}, ".memory_limit_mb: input should be greater than or equal to"),
        ({"qnn": {"vtcm": 2}}, ".qnn: unknown key 'vtcm'; did you mean 'vtcm_mb'?"),
        ({"qnn": {"priority": "hihg"}}, ".qnn.priority: 'hihg' is not known; did you mean 'high'?"),
        ({"qnn": {"finalization_optimization": 5}}, ".qnn.finalization_optimization: "),
    ],
    ids=str,
)
def test_a_mistake_in_the_options_of_the_compiler_is_named(compile_: dict[str, Any], expected: str) -> None:
    (found,) = problems(NPU, compile=compile_)
    assert found.startswith(f"parameters: digits.compile{expected}")


@pytest.mark.parametrize(
    ("require", "expected"),
    [("abc", "a share in percent is meant"), ("120%", "less than or equal to 100")],
)
def test_a_requirement_that_cannot_be_meant_is_refused(require: str, expected: str) -> None:
    (found,) = problems({**NPU, "require": {"npu_layers": require}})
    assert found.startswith("models.yml: digits.targets.require.npu_layers: ")
    assert expected in found


def test_float_layers_need_a_chip_that_has_float16() -> None:
    overrides = {"overrides": {"head": "float"}}
    project({**NPU, "devices": ["host", "npu"]}, quantize=overrides)
    (found,) = problems({**NPU, "devices": ["host", "integers"]}, quantize=overrides)
    assert found.startswith(
        "parameters: digits.quantize.overrides.head: 'float' cannot be run by 'qnn_context_binary' on 'integers'"
    )
    assert "set 'w8a16'" in found
