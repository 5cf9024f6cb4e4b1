"""Which precision goes with which runtime."""

from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.pipelines.config import Project, parse
from edge_pipeline.pipelines.export.nodes import _has_newer_integers
from edge_pipeline.quantization.layout import Layout

BOTH = ["onnx", "tflite"]


def project(targets: Any, quantize: Any = None) -> Project:
    models = {"digits": {"recipe": "classifier", "targets": targets}}
    parameters = {"digits": {"quantize": quantize}} if quantize else {}
    return parse(Path("/project"), models, {"host": {"kind": "host"}}, parameters, {})


def problems(targets: Any, quantize: Any = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        project(targets, quantize)
    return raised.value.problems


@pytest.mark.parametrize("precision", ["w8a16", "w4a8", "w4a16"])
def test_what_litert_cannot_run_is_refused_with_the_key_that_helps(precision: str) -> None:
    (found,) = problems({"runtimes": BOTH, "precisions": ["float", precision]})
    assert found == (
        f"models.yml: digits.targets: the runtime 'tflite' cannot run '{precision}', only float, float16, w8a8, mixed; "
        f"leave it out with `exclude: [tflite/{precision}]`"
    )


def test_what_is_excluded_is_no_target() -> None:
    found = project({"runtimes": BOTH, "precisions": ["w8a8", "w4a16"], "exclude": ["tflite/w4a16"]})
    names = [target.name for target in found.models["digits"].expand("digits")]
    assert names == ["digits@host/onnx/w8a8", "digits@host/onnx/w4a16", "digits@host/tflite/w8a8"]


def test_onnx_runs_every_precision() -> None:
    found = project({"runtimes": ["onnx"], "precisions": [one.value for one in Precision]})
    assert len(found.models["digits"].expand("digits")) == len(Precision)


def test_an_exclusion_of_no_target_is_refused_with_a_hint() -> None:
    (found,) = problems({"runtimes": BOTH, "precisions": ["w8a8"], "exclude": ["tflit/w8a8"]})
    assert found.startswith(
        "models.yml: digits.targets: exclude: 'tflit/w8a8' is none of these targets; did you mean 'tflite/w8a8'?"
    )


def test_an_exclusion_of_everything_is_refused() -> None:
    (found,) = problems({"runtimes": ["onnx"], "precisions": ["w8a8"], "exclude": ["onnx/w8a8"]})
    assert "exclude leaves no target" in found


@pytest.mark.parametrize(
    ("quantize", "precision", "key"),
    [
        ({"overrides": {"head": "w8a16"}}, "w8a8", "overrides.head: 'w8a16'"),
        ({"overrides": {"head": "w4a8"}}, "w8a8", "overrides.head: 'w4a8'"),
        ({"auto": {"high": "w8a16"}}, "w8a8", "auto.high: 'w8a16'"),
        ({"mixed": {"high": "w8a16"}}, "mixed", "mixed.high: 'w8a16'"),
        ({"mixed": {"low": "w4a8"}}, "mixed", "mixed.low: 'w4a8'"),
    ],
    ids=str,
)
def test_layers_that_litert_cannot_run_are_refused(quantize: Any, precision: str, key: str) -> None:
    (found,) = problems({"runtimes": BOTH, "precisions": [precision]}, quantize)
    assert found.startswith(f"parameters: digits.quantize.{key} cannot be run by 'tflite'")
    project({"runtimes": ["onnx"], "precisions": [precision]}, quantize)


@pytest.mark.parametrize(
    "quantize",
    [{"overrides": {"head": "float"}}, {"auto": {"high": "off"}}, {"auto": {}}, {"mixed": {"high": "w8a16"}}],
    ids=str,
)
def test_layers_that_both_can_run_are_taken(quantize: Any) -> None:
    project({"runtimes": BOTH, "precisions": ["w8a8"]}, quantize)


def test_only_the_runtimes_of_mixed_targets_count_for_them() -> None:
    targets = {"runtimes": BOTH, "precisions": ["w8a8", "mixed"], "exclude": ["tflite/mixed"]}
    project(targets, {"mixed": {"high": "w8a16"}})


@pytest.mark.parametrize(
    ("layout", "newer"),
    [
        (Layout(), False),
        (Layout(4, 8), True),
        (Layout(8, 16), True),
        (Layout(overrides={"a": "float", "b": "w8a8"}), False),
        (Layout(overrides={"a": "float", "b": "w8a16"}), True),
        (Layout(4, 8, overrides={"a": "w8a8"}), True),
    ],
)
def test_numbers_of_4_or_16_bits_need_a_newer_opset(layout: Layout, newer: bool) -> None:
    simulation = Artifact("simulation", {}, details={"layout": layout.to_dict()})
    assert _has_newer_integers(Precision.W8A8, simulation) is newer


@pytest.mark.parametrize(("precision", "newer"), [("w8a8", False), ("w8a16", True), ("w4a8", True)])
def test_without_a_layout_the_precision_tells_it(precision: str, newer: bool) -> None:
    assert _has_newer_integers(Precision(precision), Artifact("simulation", {})) is newer
