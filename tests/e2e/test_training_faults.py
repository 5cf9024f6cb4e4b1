"""Checkpoints that must not be loaded, and training that cannot go on."""

import pickle

import pytest
import torch

pytestmark = pytest.mark.slow


class Malicious:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_with_code_is_refused_and_not_run(project):
    proof = project.root / "proof"
    torch.save({"weights": Malicious(str(proof))}, project.root / "start.pt")
    project.configure(finetune={"checkpoint": "start.pt"})
    project.kedro("run").refused("start.pt", "more than tensors", "refused")
    assert not proof.exists()


def test_a_bare_pickle_with_code_is_refused_and_not_run(project):
    proof = project.root / "proof"
    (project.root / "start.pt").write_bytes(pickle.dumps(Malicious(str(proof))))
    project.configure(finetune={"checkpoint": "start.pt"})
    project.kedro("run").refused("start.pt")
    assert not proof.exists()


def test_a_truncated_checkpoint_is_named(project):
    path = project.root / "start.pt"
    torch.save({"weights": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])
    project.configure(finetune={"checkpoint": "start.pt"})
    project.kedro("run").refused(str(path), "truncated")
    assert set(project.statuses().values()) == {"FAILED"}


def test_a_checkpoint_that_does_not_exist_is_refused_before_anything_runs(project):
    project.configure(finetune={"checkpoint": "missing.pt"})
    project.kedro("run").refused("finetune.checkpoint", "missing.pt does not exist")
    assert project.data() == []


def test_a_checkpoint_of_another_network_is_refused(project):
    torch.save({"head.weight": torch.zeros(3, 3)}, project.root / "start.pt")
    project.configure(finetune={"checkpoint": "start.pt"})
    project.kedro("run").refused("start.pt", "another network")


def test_training_starts_from_a_checkpoint(project, finished):
    weights = finished / "data/06_models/digits/weights/weights.pt"
    (project.root / "start.pt").write_bytes(weights.read_bytes())
    project.configure(finetune={"checkpoint": "start.pt", "epochs": 1, "learning_rate": 1e-9, "warmup_epochs": 0})
    result = project.kedro("run").succeeded()
    assert "digits@host/onnx/float" in result.output


def test_a_loss_that_is_not_finite_stops_the_run(project):
    project.configure(finetune={"learning_rate": 1e30, "warmup_epochs": 0})
    project.kedro("run").refused("digits: the loss became", "finetune.learning_rate")
    statuses = project.statuses()
    assert statuses["digits/training"] == "FAILED"
    assert set(statuses.values()) == {"FAILED"}
