"""Kedro's own options choose what runs."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_one_precision_of_one_model_in_a_new_project(project):
    project.configure({"targets": {"runtimes": ["onnx"], "precisions": ["float", "w8a8"]}})
    project.kedro("run", "--pipelines", "digits", "--tags", "w8a8").succeeded()
    assert project.statuses() == {"digits/training": "FINISHED", "digits@host/onnx/w8a8": "FINISHED"}


def test_a_parameter_on_the_command_line(project):
    project.kedro("run", "--params", "digits.finetune.epochs=1").succeeded()
    training = next(run for run in project.runs() if run.info.run_name == "digits/training")
    assert training.data.params["finetune.epochs"] == "1"
    manifest = json.loads((project.root / "data/06_models/digits/weights/manifest.json").read_text())
    assert manifest["details"]["epochs"] == 1


def test_an_environment_overrides_the_base(project):
    project.write("conf/short/parameters.yml", {"digits": {"finetune": {"epochs": 1}}})
    project.kedro("run", "--env", "short").succeeded()
    assert {run.data.params["finetune.epochs"] for run in project.runs()} == {"1"}


def test_threads_give_the_same_results(trained, finished):
    trained.configure({"targets": {"runtimes": ["onnx"], "precisions": ["float", "w8a8"]}})
    trained.kedro("run", "--runner", "ThreadRunner").succeeded()
    assert set(trained.statuses().values()) == {"FINISHED"}
    assert len(trained.statuses()) == 3
    files = "data/06_models/digits/weights/weights.pt"
    assert (trained.root / files).read_bytes() == (finished / files).read_bytes()


def test_a_run_of_what_is_missing_only_makes_that_and_logs_all(trained):
    (trained.root / "data/08_reporting/digits/host-onnx-float/validation.json").unlink()
    profile = trained.root / "data/08_reporting/digits/host-onnx-float/profile.json"
    before = profile.stat().st_mtime_ns
    result = trained.kedro("run", "--only-missing-outputs").succeeded()
    assert "host-onnx-float.validate" in result.output
    assert "digits.finetune" not in result.output
    assert profile.stat().st_mtime_ns == before
    run = next(run for run in trained.runs() if run.info.run_name == "digits@host/onnx/float")
    assert run.info.status == "FINISHED"
    assert {"latency_p50_ms", "accuracy", "size_mb"} <= set(run.data.metrics)


def test_results_of_older_weights_are_made_again(trained):
    trained.kedro("run", "--params", "digits.finetune.seed=7", "--tags", "finetune").succeeded()
    result = trained.kedro("run", "--only-missing-outputs").succeeded()
    for stage in ("export", "compile", "profile", "validate"):
        assert f".{stage}\n" in result.output


def test_a_failed_target_does_not_stop_its_siblings(trained):
    trained.configure({"targets": {"runtimes": ["tflite", "onnx"], "precisions": ["float"]}})
    result = trained.kedro("run", "--params", "digits.compile.time_limit_s=0.5")
    result.refused("digits@host/tflite/float: compile failed", "time limit of 0.5 s")
    assert trained.statuses() == {
        "digits/training": "FINISHED",
        "digits@host/onnx/float": "FINISHED",
        "digits@host/tflite/float": "FAILED",
    }


def test_the_registry_lists_the_models(project):
    assert "- digits\n" in project.kedro("registry", "list").succeeded().output
