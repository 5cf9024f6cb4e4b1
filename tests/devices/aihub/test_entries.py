"""Devices of AI Hub in devices.yml and models.yml."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.config import Project, parse

CLOUD = {"kind": "aihub", "hub_device": "Samsung Galaxy S24", "os": "14"}


def project(device: dict[str, Any], compile: Any = None, **model: Any) -> Project:
    targets = {"devices": ["host", "cloud"], "runtimes": ["onnx", "tflite"], "precisions": ["float", "w8a8"]}
    models = {"digits": {"recipe": "classifier", "targets": targets, **model}}
    parameters = {"digits": {"compile": compile or {}}}
    return parse(Path("/project"), models, {"host": {"kind": "host"}, "cloud": device}, parameters, {})


def problem(*given: Any, **more: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        project(*given, **more)
    (found,) = raised.value.problems
    return found


def test_a_device_of_the_hub_has_all_runtimes_or_those_that_it_names() -> None:
    assert [one.value for one in project(CLOUD).devices["cloud"].engines] == [
        "onnx",
        "tflite",
        "qnn_context_binary",
        "precompiled_qnn_onnx",
    ]
    named = project({**CLOUD, "runtimes": ["onnx"]})
    assert [one.name for one in named.targets("digits") if one.device == "cloud"] == [
        "digits@cloud/onnx/float",
        "digits@cloud/onnx/w8a8",
    ]


def test_its_chip_gives_the_rules_of_quantization() -> None:
    assert project({**CLOUD, "chip": "QCS8550"}).devices["cloud"].hexagon == "v73"
    assert "did you mean 'QCS8550'" in problem({**CLOUD, "chip": "QCS8555"})


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ({"kind": "aihub"}, "an aihub device needs `hub_device`, such as Samsung Galaxy S24"),
        ({**CLOUD, "address": "edge@192.0.2.7"}, "address: only a device of kind ssh or adb has this"),
        ({**CLOUD, "retry": {"attempts": 3}}, "retry: only a device of kind ssh or adb has this"),
        ({"kind": "host", "hub_device": "x"}, "hub_device: only a device of kind aihub has this"),
        ({"kind": "ssh", "address": "a@b", "os": "14"}, "os: only a device of kind aihub has this"),
        ({**CLOUD, "hub_devices": "x"}, "unknown key 'hub_devices'; did you mean 'hub_device'?"),
    ],
)
def test_fields_that_do_not_fit_are_refused(device: dict[str, Any], told: str) -> None:
    found = problem(device)
    assert found.startswith("devices.yml: cloud")
    assert told in found


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--target_runtime tflite", "--target_runtime: follows from the target, leave it out"),
        ("--output_names=a", "--output_names: follows from the target, leave it out"),
        ("qairt_version 2.40", "'qairt_version' is no option; options begin with --"),
        ("--name 'open", "cannot be read as options: No closing quotation"),
    ],
)
def test_options_of_the_hubs_compiler_are_checked(options: str, told: str) -> None:
    found = problem(CLOUD, {"hub_options": options})
    assert found.startswith("parameters: digits.compile.hub_options: ")
    assert told in found
    assert project(CLOUD, {"hub_options": " --qairt_version 2.40 "}).parameters["digits"].compile.hub_options == (
        "--qairt_version 2.40"
    )


def test_a_model_that_stays_on_the_premises_has_no_device_of_the_hub() -> None:
    assert problem(CLOUD, on_premises=True) == (
        "models.yml: digits.on_premises: the device 'cloud' is of the kind 'aihub', which would move weights and "
        "images off the premises; leave it out of targets.devices"
    )
    assert project({"kind": "ssh", "address": "edge@192.0.2.7"}, on_premises=True).models["digits"].on_premises
    assert not project(CLOUD).models["digits"].on_premises
