"""What is asked of AI Hub and cannot be is told before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.pipelines.config import parse

DEVICES = {
    "host": {"kind": "host"},
    "cloud": {"kind": "aihub", "hub_device": "Samsung Galaxy S24"},
}
MODEL = {"recipe": "classifier", "task": "classification", "dataset": {"type": "digits"}}


def problems(parameters: dict[str, Any], targets: dict[str, Any], **model: Any) -> str:
    one = {**MODEL, "targets": targets, **model}
    try:
        parse(Path(), {"digits": one}, DEVICES, {"digits": parameters}, {})
    except ConfigError as error:
        return str(error)
    return ""


THERE = {"quantize": {"where": "hub"}}


def test_quantization_at_the_hub_fits_all_devices_that_take_qdq() -> None:
    targets = {"devices": ["host", "cloud"], "runtimes": ["onnx"], "precisions": ["float", "w8a8", "w4a16"]}
    assert problems(THERE, targets) == ""


@pytest.mark.parametrize(
    ("targets", "model", "told"),
    [
        ({}, {"on_premises": True}, "digits.quantize.where: 'hub' would move weights and calibration images off"),
        ({"precisions": ["float", "mixed"]}, {}, "digits.quantize.where: 'hub' gives all layers the same integers"),
        ({"runtimes": ["tflite"]}, {}, "of which this machine makes no tflite for 'host'"),
    ],
)
def test_what_it_cannot_do_is_told(targets: dict[str, Any], model: dict[str, Any], told: str) -> None:
    given = {"devices": ["host"], "runtimes": ["onnx"], "precisions": ["float", "w8a8"], **targets}
    assert told in problems(THERE, given, **model)
    assert told not in problems({}, given, **model)


def test_tflite_of_a_device_of_the_hub_is_made_there() -> None:
    targets = {"devices": ["cloud"], "runtimes": ["tflite"], "precisions": ["w8a8"]}
    assert problems(THERE, targets) == ""


@pytest.mark.parametrize(
    "technique", [{"adaround": {}}, {"auto": {}}, {"scheme": "mse"}, {"overrides": {"head": "float"}}]
)
def test_aimets_techniques_are_refused_with_it(technique: dict[str, Any]) -> None:
    targets = {"devices": ["host"], "runtimes": ["onnx"], "precisions": ["w8a8"]}
    told = problems({"quantize": {"where": "hub", **technique}}, targets)
    assert f"{next(iter(technique))}: done by AIMET on this machine" in told


def test_options_of_the_hub_need_the_hub() -> None:
    targets = {"devices": ["host"], "runtimes": ["onnx"], "precisions": ["w8a8"]}
    assert "hub_options: only for `where: hub`" in problems({"quantize": {"hub_options": "--x 1"}}, targets)
    assert "'x' is no option" in problems({"quantize": {"where": "hub", "hub_options": "x"}}, targets)
    assert "is not known; did you mean 'hub'?" in problems({"quantize": {"where": "hup"}}, targets)


def test_encodings_that_will_not_be_there_are_told() -> None:
    targets = {"devices": ["cloud"], "runtimes": ["onnx"], "precisions": ["w8a8"]}
    wanted = {"compile": {"hub_source": "encodings"}}
    assert problems(wanted, targets) == ""
    assert "`quantize.where: hub` makes none" in problems({**wanted, **THERE}, targets)
    assert problems({**wanted, **THERE}, {**targets, "devices": ["host"]}) == "", "nothing is sent"


def test_a_link_without_anything_to_link_is_told() -> None:
    targets = {"devices": ["cloud"], "runtimes": ["onnx"], "precisions": ["w8a8"]}
    wanted = {"compile": {"hub_link": True}}
    assert "digits.compile.hub_link: only context binaries are linked" in problems(wanted, targets)
    assert problems(wanted, {**targets, "runtimes": ["onnx", "qnn_context_binary"]}) == ""
