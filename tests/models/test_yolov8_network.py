"""YOLOv8 of our recipe computes what that of `ultralytics` computes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import recipes, yolov8
from edge_pipeline.models.spec import YoloDetSpec, YoloSegSpec
from edge_pipeline.models.yolov8_network import ultralytics

kinds = pytest.mark.parametrize("kind", ["det", "seg"])
outputs = pytest.mark.parametrize("outputs", ["maps", "boxes"])


@pytest.fixture
def make_spec() -> Callable[..., Any]:
    """Return a function that makes a spec of either kind for images of 64x96."""

    def make(kind: str, **changes: Any) -> Any:
        entry = {
            "recipe": f"yolov8_{kind}",
            "image_shape": (3, 64, 96),
            "classes": 3,
            "dataset": {"type": "aerial_scenes"},
        }
        return (YoloSegSpec if kind == "seg" else YoloDetSpec).model_validate({**entry, **changes})

    return make


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class _Missing:
    """An import system that does not find the package."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] == "ultralytics":
            raise ModuleNotFoundError(f"No module named '{name}'", name="ultralytics")


def theirs(spec: Any, net: torch.nn.Module) -> Any:
    """Return a model of `ultralytics` with the weights of `net`."""
    with ultralytics() as package:
        build = package.SegmentationModel if spec.task == "instance_segmentation" else package.DetectionModel
        model = build(f"yolov8{spec.size}{'-seg' if 'seg' in spec.recipe else ''}.yaml", nc=spec.classes, verbose=False)
    model.load_state_dict(net.state_dict())
    return model.eval()


def moved(net: torch.nn.Module) -> torch.nn.Module:
    """Give the batch norms statistics and the head's maps signs that differ, as training does."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@kinds
@outputs
@pytest.mark.parametrize("size", ["n", "s"])
def test_outputs_have_the_shapes_that_the_interface_tells(
    make_spec: Callable[..., Any], kind: str, outputs: str, size: str
) -> None:
    spec = make_spec(kind, outputs=outputs, size=size)
    interface = yolov8.interface(spec)
    with torch.no_grad():
        found = yolov8.build(spec).eval()(*recipes.dummy_inputs(spec))
    assert [(tuple(one.shape), one.dtype) for one in found] == [(one.shape, torch.float32) for one in interface.outputs]


def test_outputs_are_named_as_the_postprocessing_says(make_spec: Callable[..., Any]) -> None:
    def names(**changes: Any) -> list[str]:
        return [tensor.name for tensor in yolov8.interface(make_spec(**changes)).outputs]

    maps = ["box_0", "class_0", "box_1", "class_1", "box_2", "class_2"]
    assert names(kind="det") == maps
    assert names(kind="seg") == [*maps, "mask_0", "mask_1", "mask_2", "prototypes"]
    assert names(kind="det", outputs="boxes") == ["boxes", "scores", "class_idx"]
    assert names(kind="seg", outputs="boxes")[3:] == ["mask_coefficients", "prototypes"]


@kinds
@outputs
def test_pictures_are_letterboxed_with_grey_and_neither_shifted_nor_scaled(
    make_spec: Callable[..., Any], kind: str, outputs: str
) -> None:
    found = yolov8.interface(make_spec(kind, outputs=outputs)).preprocessing
    assert found is not None
    assert (found.size, found.fit, found.fill, found.mean, found.std) == ((64, 96), "letterbox", 114, (0.0,), (1.0,))


@kinds
def test_maps_are_those_of_the_original(make_spec: Callable[..., Any], image: torch.Tensor, kind: str) -> None:
    spec = make_spec(kind)
    net = moved(yolov8.build(spec))
    with torch.no_grad():
        found = dict(zip([one.name for one in yolov8.interface(spec).outputs], net(image), strict=True))
        _, expected = theirs(spec, net)(image)

    def joined(name: str) -> torch.Tensor:
        return torch.cat([found[f"{name}_{level}"].flatten(2) for level in range(3)], 2)

    assert torch.allclose(joined("box"), expected["boxes"], atol=1e-5)
    assert torch.allclose(joined("class"), expected["scores"], atol=1e-5)
    if kind == "seg":
        assert torch.allclose(joined("mask"), expected["mask_coefficient"], atol=1e-5)
        assert torch.allclose(found["prototypes"], expected["proto"], atol=1e-5)


@kinds
def test_boxes_scores_and_classes_are_those_of_the_original(
    make_spec: Callable[..., Any], image: torch.Tensor, kind: str
) -> None:
    spec = make_spec(kind, outputs="boxes")
    net = moved(yolov8.build(spec))
    with torch.no_grad():
        boxes, scores, classes = net(image)[:3]
        expected = theirs(spec, net)(image)[0]
        expected = (expected[0] if isinstance(expected, tuple) else expected).transpose(1, 2)
    centres, sizes = expected[..., :2], expected[..., 2:4]
    assert torch.allclose(boxes, torch.cat([centres - sizes / 2, centres + sizes / 2], 2), atol=1e-3)
    assert torch.allclose(scores, expected[..., 4:7].amax(2), atol=1e-6)
    assert torch.equal(classes, expected[..., 4:7].argmax(2).float())
    assert len(classes.unique()) > 1


@kinds
def test_training_takes_the_maps_whatever_the_outputs_are(
    make_spec: Callable[..., Any], image: torch.Tensor, kind: str
) -> None:
    net = yolov8.build(make_spec(kind, outputs="boxes"))
    shapes = [tuple(one.shape[1:]) for one in recipes.training_forward(net)(image)]
    assert shapes == [one.shape[1:] for one in yolov8.interface(make_spec(kind)).outputs]


def test_the_head_starts_with_the_biases_that_the_original_starts_with(make_spec: Callable[..., Any]) -> None:
    head = yolov8.build(make_spec("det")).model[-1]
    assert all((branch[-1].bias == 2).all() for branch in head.cv2)
    assert [round(branch[-1].bias[0].item(), 2) for branch in head.cv3] == [-8.25, -6.87, -5.48]


def test_without_the_package_the_message_says_how_to_install_it_and_its_licence(
    make_spec: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(), *sys.meta_path])
    with pytest.raises(ModelError, match=r"pip install 'edge-pipeline\[yolo\]'.*AGPL-3\.0"):
        yolov8.build(make_spec("det"))


def test_building_changes_nothing_in_the_home_folder_the_working_folder_and_the_process(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    code = (
        "import os, numpy, torch\n"
        "before, save, style = dict(os.environ), torch.save, numpy.get_printoptions()\n"
        "from edge_pipeline.models.yolov8_network import layers\n"
        "layers('yolov8n', 3)\n"
        "assert (dict(os.environ), torch.save, numpy.get_printoptions()) == (before, save, style)"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=work, env={**clean, "HOME": str(home)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == list(work.rglob("*")) == []
