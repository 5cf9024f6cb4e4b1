import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from edge_pipeline.core.types import Artifact, Failure, Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.hooks.summary import print_ladder, print_scorecard
from edge_pipeline.models.spec import ClassifierSpec
from edge_pipeline.pipelines.scorecard.nodes import scorecard

FLOAT = Target("digits", "host", RuntimeName.ONNX, Precision.FLOAT)
W8A8 = Target("digits", "host", RuntimeName.ONNX, Precision.W8A8)
NPU = Target("digits", "npu", RuntimeName.QNN_CONTEXT_BINARY, Precision.W8A8)
SPEC = ClassifierSpec(recipe="classifier")
WEIGHTS = Artifact("weights", {}, details={"parameters": 13_911_283, "multiply_adds": 62_370_000_000})


@pytest.fixture
def printed(make_profile: Callable[..., Profile], make_validation: Callable[..., Validation]) -> list[str]:
    """The lines printed for a float target with a warning and a w8a8 target whose profile failed."""
    profile = replace(make_profile(FLOAT, WEIGHTS.hash, latency_p50_ms=0.123456), warnings=("the [machine] was noisy",))
    validations = [
        make_validation(one, WEIGHTS.hash, accuracy=accuracy) for one, accuracy in ((FLOAT, 0.9), (W8A8, 0.85))
    ]
    results = (profile, validations[0], Failure("profile", W8A8.name, "too slow"), validations[1])
    table, *_ = scorecard(WEIGHTS, *results, spec=SPEC, targets=(FLOAT, W8A8))
    console = Console(file=io.StringIO(), width=200)
    print_scorecard(console, table.astype(object).where(table.notna(), None))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def line(printed: list[str], target: Target) -> str:
    return next(one for one in printed if one.startswith(target.name))


def test_every_target_has_a_line_with_its_numbers(printed: list[str]) -> None:
    assert "90.00%" in line(printed, FLOAT)
    assert "0.123" in line(printed, FLOAT)
    assert "-5.00 pt" in line(printed, W8A8)


def test_what_was_not_measured_is_a_dash(printed: list[str]) -> None:
    assert " - " in line(printed, W8A8)


def test_a_column_that_nobody_measured_is_left_out(printed: list[str]) -> None:
    assert not any("energy" in one for one in printed)


def test_a_failed_target_is_marked(printed: list[str]) -> None:
    assert line(printed, W8A8).rstrip().endswith("failed")
    assert "failed" not in line(printed, FLOAT)


def test_the_size_of_the_network_is_told_once(printed: list[str]) -> None:
    expected = "The network has 13,911,283 parameters and takes 62.4 billion multiply-adds an inference."
    assert printed.count(expected) == 1


@pytest.fixture
def with_npu(
    make_profile: Callable[..., Profile], make_validation: Callable[..., Validation]
) -> Callable[..., list[str]]:
    """Return a function that prints a host target and one of an NPU that runs a share of its layers."""

    def printed(share: float, validation: Validation | None = None) -> list[str]:
        host = make_profile(FLOAT, WEIGHTS.hash, npu_layers_pct=0.0)
        emulated = replace(make_profile(NPU, WEIGHTS.hash), metrics={"npu_layers_pct": share}, repeats=())
        results = (host, make_validation(FLOAT, WEIGHTS.hash), emulated, validation)
        table, *_ = scorecard(WEIGHTS, *results, spec=SPEC, targets=(FLOAT, NPU))
        console = Console(file=io.StringIO(), width=200)
        print_scorecard(console, table.astype(object).where(table.notna(), None))
        return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]

    return printed


def test_where_some_layer_is_on_an_npu_the_share_has_a_column(with_npu: Callable[..., list[str]]) -> None:
    lines = with_npu(87.5)
    assert any("on NPU" in one for one in lines)
    assert "88%" in line(lines, NPU)
    assert " 0% " in line(lines, FLOAT)


def test_where_no_layer_is_on_an_npu_there_is_no_such_column(with_npu: Callable[..., list[str]]) -> None:
    assert not any("on NPU" in one for one in with_npu(0.0))


def test_an_unverified_result_has_no_accuracy_and_says_why(
    with_npu: Callable[..., list[str]], make_validation: Callable[..., Validation]
) -> None:
    validation = make_validation(NPU, WEIGHTS.hash)
    unverified = replace(validation, metrics={"sqnr_float_db": 3.0}, details={"unverified": "two runs differ"})
    lines = with_npu(100.0, unverified)
    assert line(lines, NPU).split()[1] == "-"
    assert f"{NPU.name}: unverified, so there is no accuracy: two runs differ" in lines


def test_the_steps_of_automatic_quantization_are_printed_with_what_each_cost_and_gave() -> None:
    float_ = {"rung": "float", "metric": 0.99, "sqnr_db": None, "seconds": 0, "met": False, "kept": False, "note": ""}
    plain = {**float_, "rung": "calibrate", "metric": 0.9512, "sqnr_db": 17.25, "seconds": 12.4, "kept": True}
    refused = {**float_, "rung": "AdaRound", "metric": None, "note": "AdaRound failed: odd"}
    console = Console(file=io.StringIO(), width=200)
    print_ladder(console, "digits/w8a8", [float_, plain, refused])
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[2].split() == ["calibrate", "0.9512", "17.2", "12", "better"]
    assert lines[3].rstrip().endswith("AdaRound failed: odd")
    assert "No step met the budget" in lines[4]
