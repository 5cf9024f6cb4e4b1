"""The models of the ready project at the small size, trained for a few epochs, each through the whole main job."""

import json
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

EPOCHS = {"efficientnet_lite0": 2, "yolov8_det": 8, "yolov8_seg": 6, "ffnet_40s": 6}
"""About a third of what `--env small` trains, to save minutes: enough to see that each network learns."""

METRICS = {
    "efficientnet_lite0": "accuracy",
    "yolov8_det": "map50",
    "yolov8_seg": "mask_map50",
    "ffnet_40s": "miou",
}
"""The metric of each model on the generated scenes."""

RUNTIMES = {
    "efficientnet_lite0": ["tflite"],
    "yolov8_det": ["onnx"],
    "yolov8_seg": ["onnx"],
    "ffnet_40s": ["onnx"],
}
"""Those that are tried here, to save minutes; each network is converted for both in tests/quantization."""


@pytest.fixture(scope="module", params=list(METRICS))
def run(request: pytest.FixtureRequest, ready_project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project in which one model was run at the small size."""
    project = ready_project(tmp_path_factory.mktemp(request.param) / "project")
    models = yaml.safe_load((project.root / "conf/small/models.yml").read_text())
    models[request.param]["targets"] = {"runtimes": RUNTIMES[request.param]}
    project.write("conf/small/models.yml", models)
    epochs = f"{request.param}.finetune.epochs={EPOCHS[request.param]}"
    command = ("run", "--env", "small", "--pipelines", request.param, "--params", epochs)
    uncovered = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}  # tracing would slow the training
    project.output = project.kedro(*command, **uncovered).succeeded().output
    return request.param, project


def test_the_whole_main_job_gives_every_target_its_score(run: Any) -> None:
    model, project = run
    metric = METRICS[model]
    runs = {one.info.run_name: one for one in project.runs()}
    assert {one.info.status for one in runs.values()} == {"FINISHED"}
    targets = [f"{model}@host/{runtime}/{precision}" for runtime in RUNTIMES[model] for precision in ("float", "w8a8")]
    assert set(runs) == {f"{model}/training", *targets}
    untrained = runs[f"{model}/training"].data.metrics[f"untrained_validation_{metric}"]
    for name in targets:
        found = runs[name].data.metrics
        assert 0 <= found["accuracy"] <= 1
        assert found[metric] > untrained + 0.1, f"{name}: {metric} {found[metric]:.3f}"
        assert found["sqnr_sim_db"] > (80 if name.endswith("float") else 10)
        assert found["latency_p50_ms"] > 0


def test_scores_on_generated_images_are_labelled_as_such(run: Any) -> None:
    _, project = run
    assert "Accuracy on generated images: it says nothing about real ones." in project.output
    assert {one.data.tags["dataset_generated"] for one in project.runs()} == {"true"}


def test_predictions_on_four_test_images_are_drawn(run: Any) -> None:
    model, project = run
    for one in project.runs():
        names = {item.path for item in project.mlflow().list_artifacts(one.info.run_id)}
        assert ("predictions.png" in names) == (one.info.run_name != f"{model}/training")
    folder = project.root / "data" / "08_reporting" / model / f"host-{RUNTIMES[model][0]}-w8a8" / "predictions"
    manifest = json.loads((folder / "manifest.json").read_text())
    split = json.loads((project.root / "data" / "02_intermediate" / model / "split.json").read_text())["record"]
    assert len(manifest["details"]["samples"]) == 4
    assert set(manifest["details"]["samples"]) <= set(split["test"])


def test_the_declaration_of_inputs_and_outputs_is_beside_every_artifact(run: Any) -> None:
    model, project = run
    found = [
        json.loads(path.read_text())["details"]["interface"]
        for path in (project.root / "data" / "06_models" / model).rglob("manifest.json")
    ]
    assert len(found) == 4 + 2 * len(RUNTIMES[model])  # weights, simulation, two exports, the compiled models
    assert all(one == found[0] for one in found)
    assert found[0]["preprocessing"]["size"]
    assert found[0]["postprocessing"]["kind"] in ("logits", "yolo_maps", "class_map")


def test_calibration_images_are_of_the_training_part(run: Any) -> None:
    model, project = run
    folder = project.root / "data" / "06_models" / model / "w8a8" / "simulation"
    chosen = json.loads((folder / "manifest.json").read_text())["details"]["calibration"]
    split = json.loads((project.root / "data" / "02_intermediate" / model / "split.json").read_text())["record"]
    assert chosen
    assert set(chosen) <= set(split["train"])
