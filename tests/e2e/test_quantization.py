"""Precisions, automatic quantization and the sensitivity report, through the command line."""

import json

import pytest
import yaml

pytestmark = pytest.mark.slow

ALL = ["float", "float16", "w8a8", "w8a16", "w4a8", "w4a16", "mixed"]
NOT_ON_LITERT = ["tflite/w8a16", "tflite/w4a8", "tflite/w4a16"]
IMPOSSIBLE = {
    "max_drop": 0,
    "min_sqnr_db": 90,
    "images": 100,
    "adaround": {"iterations": 20},
    "qat": {"steps": 10},
}
ONE = {"targets": {"runtimes": ["onnx"], "precisions": ["w8a8"]}}


def simulation(project, precision="w8a8"):
    path = project.root / "data/06_models/digits" / precision / "simulation/manifest.json"
    return json.loads(path.read_text())["details"]


def named(project, name):
    (found,) = [run for run in project.runs() if run.info.run_name == name]
    return found


@pytest.fixture(scope="module")
def every_precision(ready_project, tmp_path_factory):
    project = ready_project(tmp_path_factory.mktemp("precisions") / "project")
    targets = {"runtimes": ["onnx", "tflite"], "precisions": ALL, "exclude": NOT_ON_LITERT}
    project.configure({"targets": targets}, finetune={"epochs": 8})
    project.output = project.kedro("run").succeeded().output
    return project


def test_every_precision_runs_where_it_can(every_precision):
    expected = {f"digits@host/onnx/{precision}" for precision in ALL}
    expected |= {f"digits@host/tflite/{precision}" for precision in ("float", "float16", "w8a8", "mixed")}
    assert set(every_precision.statuses()) == expected | {"digits/training"}
    assert set(every_precision.statuses().values()) == {"FINISHED"}


@pytest.mark.parametrize(
    ("target", "to_float", "to_simulation"),
    [
        ("onnx/float16", 50, 50),
        ("tflite/float16", 50, 50),
        ("onnx/w8a8", 25, 24),
        ("tflite/w8a8", 25, 24),
        ("onnx/w8a16", 28, 60),
        ("onnx/w4a8", 8, 24),
        ("onnx/w4a16", 8, 60),
        ("onnx/mixed", 25, 24),
        ("tflite/mixed", 25, 24),
    ],
)
def test_engines_agree_with_the_simulation_to_rounding(every_precision, target, to_float, to_simulation):
    metrics = named(every_precision, f"digits@host/{target}").data.metrics
    assert metrics["sqnr_float_db"] > to_float
    assert metrics["sqnr_sim_db"] > to_simulation


def test_smaller_numbers_make_smaller_files(every_precision):
    sizes = {
        precision: named(every_precision, f"digits@host/onnx/{precision}").data.metrics["size_mb"] for precision in ALL
    }
    assert sizes["w4a8"] < sizes["w8a8"] < sizes["float16"] < sizes["float"]


def test_the_encodings_for_qairt_are_beside_the_export(every_precision):
    folder = every_precision.root / "data/06_models/digits/w8a16/exported"
    found = json.loads((folder / "qairt.encodings").read_text())
    assert found["version"] == "2.0.0"
    assert len(found["encodings"]) > 8
    assert (folder / "qairt.onnx").is_file()


def test_the_sensitivity_report_is_logged_and_its_overrides_can_be_used(every_precision):
    every_precision.kedro("run", "--pipelines", "digits.sensitivity").succeeded()
    run = named(every_precision, "digits/sensitivity/w8a8")
    files = {item.path for item in every_precision.mlflow().list_artifacts(run.info.run_id)}
    assert {"sensitivity.csv", "sensitivity.png", "sensitivity.json", "overrides.yml"} <= files
    folder = every_precision.root / "data/08_reporting/digits/w8a8/sensitivity"
    overrides = yaml.safe_load((folder / "overrides.yml").read_text())["digits"]["quantize"]["overrides"]
    assert overrides
    every_precision.configure(ONE, finetune={"epochs": 8}, quantize={"overrides": overrides})
    every_precision.kedro("run", "--tags", "quantize,export,compile,profile,validate,scorecard").succeeded()
    assert simulation(every_precision)["layout"]["overrides"] == overrides


def test_auto_stops_when_the_budget_is_met(project):
    project.configure(ONE, finetune={"epochs": 8}, quantize="auto")
    project.kedro("run").succeeded()
    ladder = simulation(project)["ladder"]
    assert ladder[-1]["met"]
    assert not any(step["met"] for step in ladder[:-1])
    run = named(project, "digits@host/onnx/w8a8")
    assert "ladder.json" in {item.path for item in project.mlflow().list_artifacts(run.info.run_id)}


def test_auto_goes_on_after_sigkill_and_keeps_the_best(project, started):
    project.configure(ONE, finetune={"epochs": 8}, quantize={"auto": IMPOSSIBLE})
    process = started(project.start("run"))
    kept = project.root / "data/06_models/digits/w8a8/ladder/ladder.pt"
    while not kept.is_file():
        assert process.poll() is None, process.stdout.read()
    process.kill()
    process.wait()
    before = kept.read_bytes()

    project.kedro("run", "--only-missing-outputs").succeeded()
    ladder = simulation(project)["ladder"]
    assert not any(step["met"] for step in ladder)
    assert len({step["rung"] for step in ladder}) == len(ladder) > 8
    best = max((step for step in ladder if step["kept"]), key=ladder.index)
    assert best["sqnr_db"] >= max(step["sqnr_db"] for step in ladder if step["kept"])
    assert kept.read_bytes() != before


def test_a_misspelt_layer_is_refused_with_the_closest_names(project):
    project.configure(ONE, quantize={"overrides": {"features.0.O": "w8a16"}})
    project.kedro("run").refused("the network has no layer 'features.0.O'", "did you mean", "'features.0.0'")


def test_no_time_is_refused(project):
    project.configure(ONE, quantize={"auto": {"minutes": 0}})
    project.kedro("run").refused("digits.quantize.auto.minutes", "greater than 0")


def test_too_few_calibration_images_are_warned_of(project):
    project.configure(ONE, quantize={"calibration_images": 5000})
    result = project.kedro("run").succeeded()
    assert "calibration images: the training part has no more, 5000 were asked for" in " ".join(result.output.split())
    assert "5000 were asked for" in named(project, "digits@host/onnx/w8a8").data.tags["calibration_warnings"]
