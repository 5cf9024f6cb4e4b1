import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.types import Artifact, Failure, Layer, Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.hooks.records import (
    RunRecord,
    Times,
    model_params,
    shared_tags,
    target_params,
    target_record,
    training_record,
)
from edge_pipeline.pipelines.config import Project, parse

TIMES = Times(1000, 2000)
PARENTS = {"dataset": "d" * 64, "weights": "w" * 64}
EXPORTED = Artifact(
    "exported",
    {"model.onnx": b"onnx"},
    PARENTS,
    details={"onnx_vs_source_sqnr_db": 99.0, "onnx_vs_source_max_difference": 0.001},
)
COMPILED = Artifact("compiled", {"model.onnx": b"compiled"}, EXPORTED.lineage)


@pytest.fixture
def complete(
    project: Project, make_profile: Callable[..., Profile], make_validation: Callable[..., Validation]
) -> Callable[..., RunRecord]:
    """Return a function that makes the record of a target of which everything was made."""

    def make(target: Target, **changes: Any) -> RunRecord:
        results = {
            "exported": EXPORTED,
            "compiled": COMPILED,
            "profile": make_profile(target),
            "validation": make_validation(target),
        }
        return target_record(target, project, {"run_group": "g"}, {**results, **changes}, TIMES)

    return make


def test_two_targets_have_the_same_metric_keys(complete: Callable[..., RunRecord]) -> None:
    targets = [Target("digits", "host", RuntimeName.ONNX, Precision.FLOAT)]
    targets.append(Target("digits", "board", RuntimeName.TFLITE, Precision.W8A8))
    keys = [[key for key, _, _ in complete(target).metrics] for target in targets]
    assert keys[0] == keys[1]
    assert {"accuracy", "latency_p50_ms", "size_mb", "sqnr_sim_db", "export_sqnr_db"} <= set(keys[0])


def test_a_complete_target_is_finished_and_named_like_the_target(
    complete: Callable[..., RunRecord], target: Target
) -> None:
    record = complete(target)
    assert (record.name, record.status, record.experiment) == (target.name, "FINISHED", "edge-pipeline")
    assert (record.started, record.ended) == (1000, 2000)
    assert "failure" not in record.tags


def test_what_was_not_measured_is_absent(complete: Callable[..., RunRecord], target: Target) -> None:
    keys = {key for key, _, _ in complete(target).metrics}
    assert not keys & {"energy_mj", "npu_layers_pct"}


def test_the_drawing_of_predictions_is_logged_and_the_kept_outputs_are_not(
    complete: Callable[..., RunRecord], target: Target
) -> None:
    made = Artifact("predictions", {"predictions.png": b"drawn", "outputs.npz": b"much"}, COMPILED.lineage)
    files = complete(target, predictions=made).files
    assert files["predictions.png"] == b"drawn"
    assert "outputs.npz" not in files


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_left_out(
    complete: Callable[..., RunRecord], target: Target, number: float
) -> None:
    exported = replace(EXPORTED, details={**EXPORTED.details, "onnx_vs_source_sqnr_db": number})
    keys = {key for key, _, _ in complete(target, exported=exported).metrics}
    assert "export_sqnr_db" not in keys
    assert "export_max_difference" in keys


def test_numbers_of_a_result_that_are_not_finite_are_left_out(
    complete: Callable[..., RunRecord], target: Target, make_validation: Callable[..., Validation]
) -> None:
    record = complete(target, validation=make_validation(target, sqnr_sim_db=float("nan")))
    assert "sqnr_sim_db" not in {key for key, _, _ in record.metrics}


def test_a_failed_target_is_failed_says_why_and_keeps_what_was_made(
    complete: Callable[..., RunRecord], target: Target
) -> None:
    failure = Failure("profile", target.name, "too slow")
    record = complete(target, profile=failure, validation=None)
    assert (record.status, record.tags["failure"]) == ("FAILED", "profile failed: too slow")
    assert "compiled/model.onnx" in record.files
    assert "latency_p50_ms" not in {key for key, _, _ in record.metrics}


def test_a_failure_passed_through_several_stages_is_told_once(
    complete: Callable[..., RunRecord], target: Target
) -> None:
    failure = Failure("export", target.name, "it broke")
    record = complete(target, exported=failure, compiled=failure, profile=failure, validation=failure)
    assert record.tags["failure"] == "export failed: it broke"
    assert record.files == {}


def test_the_files_are_the_models_their_manifest_the_results_and_their_figures(
    complete: Callable[..., RunRecord], target: Target
) -> None:
    files = complete(target).files
    assert files["onnx/model.onnx"] == b"onnx"
    assert files["compiled/model.onnx"] == b"compiled"
    assert json.loads(files["compiled/manifest.json"]) == COMPILED.manifest()
    assert json.loads(files["validation.json"])["metrics"]["accuracy"] == 0.9
    assert len(json.loads(files["profile.json"])["repeats"]) == 2
    assert all(files[name].startswith(b"\x89PNG") for name in ("latency.png", "quality.png"))


def test_hashes_device_and_warnings_are_tags(
    complete: Callable[..., RunRecord], target: Target, make_profile: Callable[..., Profile]
) -> None:
    tags = complete(target, profile=replace(make_profile(target), warnings=("noisy", "busy"))).tags
    assert (tags["dataset_hash"], tags["weights_hash"], tags["artifact_hash"]) == (
        "d" * 64,
        "w" * 64,
        COMPILED.hash,
    )
    assert (tags["run_group"], tags["kind"], tags["device.cpu"], tags["warnings"]) == (
        "g",
        "target",
        "x",
        "noisy; busy",
    )


def test_parameters_are_flat_with_dots_and_complete(project: Project) -> None:
    params = model_params("digits", project)
    assert params["model"] == "digits"
    assert params["finetune.epochs"] == "40"
    assert params["finetune.augment.shift"] == "0.1"
    assert params["validate.threads"] == "1"
    assert params["dataset.type"] == "digits"
    assert params["image_shape"] == "[1, 8, 8]"
    assert all(isinstance(value, str) for value in params.values())


def test_device_runtime_and_precision_are_parameters_of_a_target(project: Project) -> None:
    params = target_params(Target("digits", "host", RuntimeName.TFLITE, Precision.W8A8), project)
    assert (params["device"], params["runtime"], params["precision"]) == ("host", "tflite", "w8a8")
    assert params.items() > model_params("digits", project).items()


def test_a_training_has_a_curve_for_every_number_of_its_epochs_and_its_totals(
    project: Project, weights: Artifact
) -> None:
    record = training_record("digits", project, {}, weights, TIMES)
    history = weights.details["history"]
    losses = [(step, value) for key, value, step in record.metrics if key == "train_loss"]
    assert losses == [(step, entry["train_loss"]) for step, entry in enumerate(history, start=1)]
    totals = {key: value for key, value, step in record.metrics if step == 0}
    assert totals["best_epoch"] == weights.details["best_epoch"]
    assert totals["best_validation_accuracy"] > 0.9


def test_a_training_keeps_its_weights_and_names_its_data(project: Project, weights: Artifact) -> None:
    record = training_record("digits", project, {}, weights, TIMES)
    assert (record.name, record.status) == ("digits/training", "FINISHED")
    assert record.files["weights/weights.pt"] == weights.files["weights.pt"]
    assert record.tags["dataset_hash"] == weights.parents["dataset"]
    assert record.tags["weights_hash"] == weights.hash


def test_a_failed_training_is_failed_and_says_why(project: Project) -> None:
    record = training_record("digits", project, {}, Failure("finetune", "digits", "the loss became nan"), TIMES)
    assert (record.status, record.tags["failure"]) == ("FAILED", "finetune failed: the loss became nan")
    assert record.metrics == ()


def test_a_table_is_added_to_a_copy(make_record: Callable[..., RunRecord]) -> None:
    record = make_record(tables={})
    assert record.with_table("t", {"a": [1]}).tables == {"t": {"a": [1]}}
    assert record.tables == {}


def test_versions_and_group_are_shared_by_all_runs(tmp_path: Path) -> None:
    tags = shared_tags(tmp_path, "20240101-000000")
    assert tags["run_group"] == "20240101-000000"
    assert {"version.python", "version.torch", "version.aimet-torch", "version.kedro"} <= set(tags)
    assert "mlflow.source.git.commit" not in tags


def test_what_quantization_was_made_of_is_logged(complete: Callable[..., RunRecord], target: Target) -> None:
    step = {"rung": "calibrate", "metric": 0.9, "sqnr_db": 20.0, "seconds": 1.0, "met": True, "kept": True, "note": ""}
    made = {
        "techniques": ["adaround"],
        "layout": {"overrides": {"head": "w8a16"}},
        "ladder": [step],
        "warnings": ["few"],
    }
    exported = replace(EXPORTED, details={**EXPORTED.details, "quantization": made})
    record = complete(target, exported=exported)
    assert record.tags["techniques"] == "adaround, overrides of 1 layer"
    assert record.tags["calibration_warnings"] == "few"
    assert record.tables["ladder"]["rung"] == ["calibrate"]
    assert json.loads(record.files["quantization.json"]) == made


NPU = Target("digits", "npu", RuntimeName.QNN_CONTEXT_BINARY, Precision.W8A8)


@pytest.fixture
def on_npu(
    tmp_path: Path, make_profile: Callable[..., Profile], make_validation: Callable[..., Validation]
) -> Callable[..., RunRecord]:
    """Return a function that makes the record of an emulated target, whose layers must all be on the NPU."""
    targets = {"devices": ["npu"], "runtimes": ["qnn_context_binary"], "precisions": ["w8a8"]}
    model = {"recipe": "classifier", "targets": {**targets, "require": {"npu_layers": "100%"}}}
    devices = {"npu": {"kind": "htp_emulator", "chip": "QCS8550"}}
    project = parse(tmp_path, {"digits": model}, devices, {}, {})

    def make(units: tuple[str, ...] = ("npu", "npu"), **details: Any) -> RunRecord:
        layers = tuple(Layer(f"layer{index}", "Conv", unit) for index, unit in enumerate(units))
        share = 100 * units.count("npu") / len(units)
        profile = replace(make_profile(NPU), repeats=(), layers=layers, metrics={"npu_layers_pct": share})
        validation = make_validation(NPU)
        validation = replace(validation, details={**validation.details, **details})
        results = {"exported": EXPORTED, "compiled": COMPILED, "profile": profile, "validation": validation}
        return target_record(NPU, project, {}, results, TIMES)

    return make


def test_the_placement_is_a_table_and_a_figure(on_npu: Callable[..., RunRecord]) -> None:
    record = on_npu()
    assert record.tables["placement"] == {
        "layer": ["layer0", "layer1"],
        "type": ["Conv", "Conv"],
        "compute_unit": ["npu", "npu"],
        "fused": [False, False],
        "time_ms": [None, None],
        "share_pct": [None, None],
    }
    assert record.files["placement.png"].startswith(b"\x89PNG")
    assert {key: value for key, value, _ in record.metrics}["npu_layers_pct"] == 100


def test_times_of_layers_are_in_the_table_with_their_share(
    complete: Callable[..., RunRecord], target: Target, make_profile: Callable[..., Profile]
) -> None:
    layers = (Layer("a", "Conv", "cpu", 3.0), Layer("b", "Relu", "cpu", 1.0))
    table = complete(target, profile=replace(make_profile(target), layers=layers)).tables["placement"]
    assert (table["time_ms"], table["share_pct"]) == ([3.0, 1.0], [75.0, 25.0])


def test_a_device_without_times_has_no_histogram_of_them(on_npu: Callable[..., RunRecord]) -> None:
    record = on_npu()
    assert "latency.png" not in record.files
    assert not any("latency" in key for key, _, _ in record.metrics)


def test_a_device_that_tells_no_single_times_has_no_histogram_either(
    complete: Callable[..., RunRecord], target: Target, make_profile: Callable[..., Profile]
) -> None:
    whole = make_profile(target)
    told = replace(whole, repeats=tuple(replace(one, samples_ms=()) for one in whole.repeats))
    assert "latency.png" in complete(target, profile=whole).files
    record = complete(target, profile=told)
    assert "latency.png" not in record.files and "profile.json" in record.files


def test_a_requirement_that_is_not_met_is_a_tag(on_npu: Callable[..., RunRecord]) -> None:
    gate = on_npu(("npu", "cpu")).tags["gate"]
    assert gate == "100% of the layers must be on the NPU, 50.0% are; not layer1 (Conv)"
    assert "gate" not in on_npu().tags


def test_an_unverified_result_is_a_tag_and_draws_no_quality(on_npu: Callable[..., RunRecord]) -> None:
    record = on_npu(unverified="two runs differ")
    assert record.tags["unverified"] == "two runs differ"
    assert "quality.png" not in record.files
    verified = on_npu(unverified="")
    assert "unverified" not in verified.tags
    assert "quality.png" in verified.files


def test_the_power_sensor_is_a_tag_and_a_sustained_run_a_figure(
    complete: Callable[..., RunRecord], target: Target, make_profile: Callable[..., Profile]
) -> None:
    profile = make_profile(target)
    points = {"seconds": [1.0, 2.0], "p50_ms": [1.0, 1.5], "temperature_c": [None] * 2, "frequency_mhz": [None] * 2}
    warm = replace(
        profile.repeats[0], readings={"sustained": {"points": points, "temperature": None, "frequency": None}}
    )
    device = {**profile.device, "power_sensor": "ina226 power1", "power_rate_hz": "50"}
    record = complete(target, profile=replace(profile, repeats=(warm,), device=device))
    assert record.files["sustained.png"].startswith(b"\x89PNG")
    assert (record.tags["device.power_sensor"], record.tags["device.power_rate_hz"]) == ("ina226 power1", "50")
    assert "sustained.png" not in complete(target).files
