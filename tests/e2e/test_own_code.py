"""A metric, a network and a dataset of the user's own, through the command line."""

import json

import pytest

pytestmark = pytest.mark.slow

METRICS = """
import numpy as np

def mistakes(predictions, ground_truth):
    return {"mistakes": float((predictions.argmax(1) != ground_truth).sum()), "share": 0.5}

def broken(predictions, ground_truth):
    return predictions["no such key"]

def not_a_number(predictions, ground_truth):
    return float("nan")
"""

NETWORKS = """
import numpy as np
import torch
from torch import nn

class Difference(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.left, self.right = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(1, width, 3, padding=1)
        self.act, self.head = nn.ReLU(), nn.Conv2d(2 * width, 1, 1)

    def forward(self, left, right):
        return self.head(self.act(torch.cat([self.left(left), self.right(right)], 1)))

def make(width):
    return Difference(width)

class Pairs:
    def __len__(self):
        return 60

    def __getitem__(self, index):
        left, right = np.random.default_rng(index).random((2, 1, 8, 8), np.float32)
        return {"left": left, "right": right}, left - right

def loss(outputs, truths):
    return (outputs[0] - torch.from_numpy(np.stack(truths))).abs().mean()

def mean_absolute_error(predictions, ground_truth):
    return float(np.abs(predictions - ground_truth).mean())
"""


@pytest.fixture
def own(project):
    project.write("src/own_metrics.py", METRICS)
    project.write("src/own_network.py", NETWORKS)
    return project


def test_a_metric_of_the_users_is_measured_on_every_target_shown_and_logged(own):
    own.configure({"metric": "own_metrics:mistakes"})
    result = own.kedro("run").succeeded()
    assert "mistakes" in result.output
    (run,) = [one for one in own.runs() if one.info.run_name == "digits@host/onnx/float"]
    record = json.loads((own.root / "data/08_reporting/digits/host-onnx-float/validation.json").read_text())["record"]
    wrong = sum(map(sum, record["details"]["confusion"])) * (1 - run.data.metrics["accuracy"])
    assert run.data.metrics["mistakes"] == pytest.approx(wrong)
    assert run.data.metrics["share"] == 0.5


@pytest.mark.parametrize(
    ("metric", "texts"),
    [
        ("own_metrics:mistake", ("models.yml: digits.metric", "did you mean 'mistakes'?")),
        ("own_metric:mistakes", ("models.yml: digits.metric", "own_metric")),
    ],
)
def test_a_misspelt_metric_is_told_before_anything_runs(own, metric, texts):
    own.configure({"metric": metric})
    own.kedro("run").refused(*texts)
    assert own.data() == []


@pytest.mark.parametrize(
    ("metric", "texts"),
    [
        ("own_metrics:broken", ("digits@host/onnx/float: validate failed", "broken", "own_metrics.py, line 8")),
        ("own_metrics:not_a_number", ("not_a_number", "nan")),
    ],
)
def test_a_metric_that_fails_fails_its_target_and_names_the_line(own, metric, texts):
    own.configure({"metric": metric})
    own.kedro("run").refused(*texts)
    assert own.statuses()["digits@host/onnx/float"] == "FAILED"
    assert own.statuses()["digits/training"] == "FINISHED"


def test_a_network_of_two_inputs_is_trained_quantized_and_measured(own):
    model = {
        "recipe": "custom",
        "factory": "own_network:make",
        "options": {"width": 8},
        "loss": "own_network:loss",
        "metric": "own_network:mean_absolute_error",
        "dataset": {"type": "factory", "factory": "own_network:Pairs"},
        "inputs": [{"name": "left", "shape": [1, 1, 8, 8]}, {"name": "right", "shape": [1, 1, 8, 8]}],
        "outputs": ["difference"],
        "targets": {"runtimes": ["onnx"], "precisions": ["float", "w8a8"]},
    }
    own.write("conf/base/models.yml", {"pairs": model})
    own.write(
        "conf/base/parameters/pairs.yml",
        {"pairs": {"finetune": {"epochs": 40, "batch_size": 8, "learning_rate": 0.02}, "quantize": {"batch_size": 8}}},
    )
    own.kedro("run", "--pipelines", "pairs").succeeded()
    errors = {one.info.run_name: one.data.metrics.get("mean_absolute_error") for one in own.runs()}
    assert errors["pairs@host/onnx/float"] < 0.2  # a network that says 0 everywhere has 0.33
    assert errors["pairs@host/onnx/w8a8"] == pytest.approx(errors["pairs@host/onnx/float"], abs=0.05)


def test_a_wrong_label_file_is_told_with_its_entry(own):
    (own.root / "images").mkdir()
    labels = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 99, "bbox": [0, 0, 4, 4]}],
        "categories": [{"id": 1, "name": "car"}],
    }
    own.write("labels.json", json.dumps(labels))
    dataset = {"type": "coco", "train": {"images": "images", "annotations": "labels.json"}}
    model = {"recipe": "yolov8_det", "dataset": dataset, "image_shape": [3, 64, 64], "classes": 1}
    own.write("conf/base/models.yml", {"cars": model})
    own.kedro("run", "--pipelines", "cars").refused("labels.json", "annotation 7", "category id 99")
