"""`kedro run --env npu`: compiled for two NPUs and validated on their emulators, beside this machine."""

import io
import json

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

NPUS = [f"digits@{name}_emulator/qnn_context_binary/w8a8" for name in ("qcs8550", "qcs6490")]
LATER = {"latency_p50_ms", "latency_p99_ms", "load_ms", "first_inference_ms", "peak_memory_mb", "throughput_ips"}


@pytest.fixture(scope="module")
def npu_run(ready_project, tmp_path_factory, needs):
    """The ready project after its run for NPUs; `output` is what that printed."""
    needs("onnxruntime_qnn")
    project = ready_project(tmp_path_factory.mktemp("npu") / "project")
    project.output = project.kedro("run", "--env", "npu", "--pipelines", "digits").succeeded().output
    return project


@pytest.fixture(scope="module")
def runs(npu_run):
    return {run.info.run_name: run for run in npu_run.runs()}


def files(project, run):
    return {item.path for item in project.mlflow().list_artifacts(run.info.run_id)}


def test_every_target_that_its_device_can_run_finished(runs):
    expected = {"digits/training", "digits@host/onnx/float", "digits@host/onnx/w8a8", *NPUS}
    assert set(runs) == expected
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


@pytest.mark.parametrize("name", NPUS)
def test_all_layers_are_on_the_npu(npu_run, runs, name):
    run = runs[name]
    assert run.data.metrics["npu_layers_pct"] == 100
    assert run.data.metrics["compile_s"] > 0
    assert run.data.tags["device.chip"] == ("QCS8550" if "8550" in name else "QCS6490")
    assert {"placement.json", "placement.png"} <= files(npu_run, run)
    assert "gate" not in run.data.tags


@pytest.mark.parametrize("name", NPUS)
def test_the_emulator_computes_what_the_simulation_says(runs, name):
    metrics = runs[name].data.metrics
    assert metrics["sqnr_sim_db"] >= 24
    assert metrics["sqnr_onnx_db"] >= 24
    assert metrics["accuracy_low"] < metrics["accuracy"] <= metrics["accuracy_high"]
    assert metrics["accuracy"] >= 0.9
    assert "unverified" not in runs[name].data.tags


@pytest.mark.parametrize("name", NPUS)
def test_the_emulator_reports_no_times_and_no_memory(npu_run, runs, name):
    assert not LATER & set(runs[name].data.metrics)
    assert "latency.png" not in files(npu_run, runs[name])
    assert set(runs["digits@host/onnx/w8a8"].data.metrics) >= LATER


def test_the_printed_result(npu_run):
    lines = npu_run.output.splitlines()
    assert any("on NPU" in line for line in lines)
    for name in NPUS:
        (row,) = (line for line in lines if line.startswith(f"{name} "))
        assert "100%" in row
        assert " - " in row  # no latency
        (note,) = (line for line in lines if line.startswith(f"{name}: accuracy on 64 of "))
        assert note.endswith("with 95% confidence")
    assert "failed" not in npu_run.output


def test_the_placement_of_all_targets_is_drawn(npu_run):
    with Image.open(io.BytesIO((npu_run.root / "data/08_reporting/digits/placement.png").read_bytes())) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_a_second_run_compiles_nothing_again(npu_run):
    kept = npu_run.root / "data/06_models/digits/compilations"
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert len(before) == 2
    npu_run.kedro("run", "--env", "npu", "--pipelines", "digits", "--tags", "compile").succeeded()
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before


NETWORK = """
import torch
from torch import nn

class WithErf(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 10)

    def forward(self, image):
        return self.head(torch.erf(self.first(image)).mean((2, 3)))

def make():
    torch.manual_seed(0)
    return WithErf()
"""


def test_a_layer_that_falls_off_the_npu_fails_the_run_if_all_must_be_on_it(project, needs):
    needs("onnxruntime_qnn")
    project.write("src/own_network.py", NETWORK)
    project.write("conf/base/devices.yml", {"npu": {"kind": "htp_emulator", "chip": "QCS8550"}})
    targets = {"devices": ["npu"], "runtimes": ["precompiled_qnn_onnx"], "precisions": ["w8a8"]}
    model = {
        "recipe": "custom",
        "task": "classification",
        "factory": "own_network:make",
        "dataset": {"type": "digits"},
        "image_shape": [1, 8, 8],
        "classes": 10,
        "default": True,
        "targets": {**targets, "require": {"npu_layers": "100%"}},
    }
    project.write("conf/base/models.yml", {"digits": model})
    project.write("conf/base/parameters/digits.yml", {"digits": {"validate": {"emulated_images": 8}}})
    name = "digits@npu/precompiled_qnn_onnx/w8a8"
    result = project.kedro("run")
    result.refused(f"{name}: a requirement is not met: 100% of the layers must be on the NPU", "(Erf)")
    (run,) = [run for run in project.runs() if run.info.run_name == name]
    assert "(Erf)" in run.data.tags["gate"]
    assert 0 < run.data.metrics["npu_layers_pct"] < 100
    table = json.loads((project.root / "mlartifacts" / run.info.run_id / "artifacts" / "placement.json").read_text())
    assert {"cpu", "npu"} <= {row[table["columns"].index("compute_unit")] for row in table["data"]}
