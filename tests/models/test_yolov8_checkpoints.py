"""Checkpoints that `ultralytics` made."""

from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models.checkpoints import load_weights
from edge_pipeline.models.yolov8_network import Yolov8, layers, ultralytics


@pytest.fixture
def published() -> Any:
    """A model of `ultralytics` with five classes and random weights."""
    with ultralytics() as package:
        torch.manual_seed(3)
        return package.DetectionModel("yolov8n.yaml", nc=5, verbose=False)


def test_its_state_dict_loads(published: Any, tmp_path: Path) -> None:
    torch.save(published.state_dict(), tmp_path / "state.pt")
    net = Yolov8(layers("yolov8n", 5))
    load_weights(net, tmp_path / "state.pt")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in published.state_dict().items())


def test_the_state_dict_of_its_outer_wrapper_loads_too(published: Any, tmp_path: Path) -> None:
    wrapped = {f"model.{key}": value for key, value in published.state_dict().items()}
    torch.save(wrapped, tmp_path / "state.pt")
    net = Yolov8(layers("yolov8n", 5))
    load_weights(net, tmp_path / "state.pt")
    assert torch.equal(net.state_dict()["model.0.conv.weight"], wrapped["model.model.0.conv.weight"])


def test_half_precision_weights_become_single(published: Any, tmp_path: Path) -> None:
    torch.save(published.half().state_dict(), tmp_path / "state.pt")
    net = Yolov8(layers("yolov8n", 5))
    load_weights(net, tmp_path / "state.pt")
    assert {value.dtype for value in net.state_dict().values()} == {torch.float32, torch.int64}


def test_a_checkpoint_of_the_package_itself_is_refused_with_what_to_save_instead(
    published: Any, tmp_path: Path
) -> None:
    torch.save({"model": published, "epoch": 3}, tmp_path / "yolov8n.pt")
    with pytest.raises(ModelError, match=r"was refused.* Save `model\.state_dict\(\)` only"):
        load_weights(Yolov8(layers("yolov8n", 5)), tmp_path / "yolov8n.pt")


@pytest.mark.parametrize("classes", [3, 80])
def test_for_other_classes_all_but_the_class_layers_is_taken(published: Any, classes: int) -> None:
    net = Yolov8(layers("yolov8n", classes))
    own = {key: value.clone() for key, value in net.state_dict().items()}
    state = net.adapted(published.state_dict())
    net.load_state_dict(state)
    for key, value in published.state_dict().items():
        taken = net.state_dict()[key]
        if value.shape == taken.shape:
            assert torch.equal(taken, value)
        else:
            assert ".cv3." in key
            assert torch.equal(taken, own[key])
    assert state["model.22.cv3.0.2.weight"].shape[0] == classes


def test_layers_of_another_size_are_not_hidden(published: Any) -> None:
    net = Yolov8(layers("yolov8s", 5))
    with pytest.raises(RuntimeError, match=r"size mismatch for model\.0\.conv"):
        net.load_state_dict(net.adapted(published.state_dict()))
