"""`kedro run` in the ready project: four measured targets of one fine-tuned model, all in MLflow."""

import io
import json

import numpy as np
import onnx
import pandas as pd
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

TARGETS = {f"digits@host/{runtime}/{precision}" for runtime in ("onnx", "tflite") for precision in ("float", "w8a8")}


@pytest.fixture(scope="module")
def targets(default_run):
    return {run.info.run_name: run for run in default_run.runs() if run.data.tags["kind"] == "target"}


@pytest.fixture(scope="module")
def training(default_run):
    (run,) = (run for run in default_run.runs() if run.data.tags["kind"] == "training")
    return run


def artifact(project, run, name):
    return (project.root / "mlartifacts" / run.info.run_id / "artifacts" / name).read_bytes()


def test_four_targets_and_one_training_finished(targets, training):
    assert set(targets) == TARGETS
    assert training.info.run_name == "digits/training"
    assert {run.info.status for run in [*targets.values(), training]} == {"FINISHED"}


def test_accuracy_of_float_and_of_w8a8(targets):
    for name, run in targets.items():
        reference = targets[name.replace("w8a8", "float")].data.metrics["accuracy"]
        assert run.data.metrics["accuracy"] >= 0.97
        assert run.data.metrics["accuracy"] >= reference - 0.01
        assert run.data.metrics["accuracy"] == run.data.metrics["top1"]


def test_int8_litert_carries_the_numbers_of_the_aimet_simulation(targets):
    metrics = targets["digits@host/tflite/w8a8"].data.metrics
    assert metrics["sqnr_sim_db"] > metrics["sqnr_float_db"] > 25
    assert metrics["sqnr_sim_db"] > 30


def test_all_targets_have_the_same_metric_keys(targets):
    keys = {frozenset(run.data.metrics) for run in targets.values()}
    assert len(keys) == 1
    assert keys.pop() >= {
        "accuracy",
        "latency_p50_ms",
        "latency_p90_ms",
        "latency_p99_ms",
        "latency_mean_ms",
        "latency_min_ms",
        "latency_spread_pct",
        "load_ms",
        "first_inference_ms",
        "throughput_ips",
        "peak_memory_mb",
        "size_mb",
        "sqnr_float_db",
        "sqnr_sim_db",
        "export_sqnr_db",
        "export_max_difference",
    }


def test_the_compare_page_finds_the_axes_as_parameters(targets):
    for name, run in targets.items():
        params = run.data.params
        assert f"{params['model']}@{params['device']}/{params['runtime']}/{params['precision']}" == name


def test_every_typed_parameter_is_logged_flattened(targets, training):
    for run in [*targets.values(), training]:
        params = run.data.params
        assert params["finetune.learning_rate"] == "0.003"
        assert params["finetune.augment.rotate_degrees"] == "10.0"
        assert params["quantize.scheme"] == "tf_enhanced"
        assert params["profile.min_inferences"] == "100"
        assert params["validate.time_limit_s"] == "600.0"


def test_the_tags_say_where_the_numbers_come_from(targets, training):
    runs = [*targets.values(), training]
    assert len({run.data.tags["run_group"] for run in runs}) == 1
    for run in runs:
        tags = run.data.tags
        assert len(tags["dataset_hash"]) == 64
        assert {"version.torch", "version.aimet-torch", "version.onnxruntime", "version.kedro"} <= set(tags)
        assert not any(key.startswith("mlflow.parentRunId") for key in tags)
        assert run.inputs.dataset_inputs[0].dataset.name == "digits"


def test_the_training_curves(default_run, training):
    client = default_run.mlflow()
    for key in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        history = client.get_metric_history(training.info.run_id, key)
        assert [point.step for point in history] == list(range(1, len(history) + 1))
        assert len(history) > 10
    losses = [point.value for point in client.get_metric_history(training.info.run_id, "train_loss")]
    assert losses[-1] < losses[0] / 2


def test_the_artifacts_of_a_target(default_run, targets):
    for name, run in targets.items():
        model = onnx.load_from_string(artifact(default_run, run, "onnx/model.onnx"))
        onnx.checker.check_model(model, full_check=True)
        has_qdq = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        assert has_qdq == name.endswith("w8a8")
        for figure in ("quality.png", "latency.png"):
            with Image.open(io.BytesIO(artifact(default_run, run, figure))) as picture:
                assert len(np.unique(np.asarray(picture.convert("L")))) > 10
        table = pd.read_json(io.BytesIO(artifact(default_run, run, "scorecard.json")), orient="split")
        assert set(table["target"]) == TARGETS


def test_the_split_is_recorded_disjoint_and_complete(default_run):
    split = json.loads((default_run.root / "data/02_intermediate/digits/split.json").read_text())["record"]
    parts = [split[part] for part in ("train", "validation", "test")]
    assert sorted(index for part in parts for index in part) == list(range(1797))
    calibration = json.loads((default_run.root / "data/06_models/digits/w8a8/simulation/manifest.json").read_text())[
        "details"
    ]["calibration"]
    assert set(calibration) <= set(split["train"])
    assert len(calibration) == 256


def test_validation_saw_the_whole_test_set(default_run):
    for path in (default_run.root / "data/08_reporting/digits").glob("*/validation.json"):
        record = json.loads(path.read_text())["record"]
        split = json.loads((default_run.root / "data/02_intermediate/digits/split.json").read_text())["record"]
        assert record["samples"] == len(split["test"]) == np.sum(record["details"]["confusion"])


def test_a_profile_keeps_every_sample_and_the_layers(default_run):
    paths = list((default_run.root / "data/08_reporting/digits").glob("*/profile.json"))
    assert len(paths) == 4
    for path in paths:
        record = json.loads(path.read_text())["record"]
        assert len(record["repeats"]) == 2
        for repeat in record["repeats"]:
            assert len(repeat["samples_ms"]) >= 100
        assert len(record["layers"]) >= 5
        assert all(layer["time_ms"] is not None for layer in record["layers"])
        assert record["device"]["cpu"]
        assert record["threads"] == 1
        assert record["metrics"]["peak_memory_mb"] < 150, "the memory of the trainer must not count"


def test_the_printed_result(default_run):
    lines = default_run.output.splitlines()
    for name in TARGETS:
        (row,) = (line for line in lines if line.startswith(name) and "%" in line.split()[1])
        assert "pt" in row
    assert "Results:" in lines[-1]
    assert str(default_run.root / "data" / "08_reporting") in lines[-1]
    assert f"sqlite:///{default_run.root / 'mlflow.db'}" in lines[-1]


def test_nothing_but_the_result_is_printed(default_run):
    for noise in ("Warning", "WARNING", "INFO", "DEBUG", "deprecat", "Traceback"):
        assert noise not in default_run.output.replace("too noisy", ""), default_run.output
