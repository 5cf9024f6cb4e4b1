from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError, TrainingError
from edge_pipeline.core.interface import ClassMap, Logits, Raw
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models import custom
from edge_pipeline.models.spec import CustomSpec

CODE = """
import torch
from torch import nn


def classifier(classes=4, width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, classes),
    )


def segmenter():
    return nn.Conv2d(3, 4, 3, 2, 1)


class ChannelsLast(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = classifier()

    def forward(self, image):
        return self.net(image.permute(0, 3, 1, 2))


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, a, b):
        joined = self.first(a) + self.second(b)
        return joined, joined.sum(1, keepdim=True)


class Says(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, image):
        return {"text": "words", "none": None, "dict": {"a": image}, "scalar": image.mean(), "flat": image.flatten()}[
            self.what
        ]


def not_a_network():
    return [1, 2]


def broken():
    raise ValueError("weights are not where they were")


def loss(outputs, truths):
    (logits,) = outputs
    return nn.functional.cross_entropy(logits, torch.tensor(list(truths)))


def unreduced_loss(outputs, truths):
    return outputs[0].sum(1)


def detached_loss(outputs, truths):
    return outputs[0].detach().mean()


def number_loss(outputs, truths):
    return 0.5


def failing_loss(outputs, truths):
    return outputs[1]
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., CustomSpec]:
    """Return a function that makes the spec of an object in the user's module."""
    name = f"user_networks_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(factory: str | None = "classifier", *, loss: str | None = None, **fields: Any) -> CustomSpec:
        data: dict[str, Any] = {
            "recipe": "custom",
            "task": "classification",
            "dataset": {"type": "factory", "factory": "anything:data"},
            "image_shape": (3, 16, 16),
            "classes": 4,
            "factory": f"{name}:{factory}" if factory else None,
            "loss": f"{name}:{loss}" if loss else None,
        }
        return CustomSpec.model_validate(data | fields)

    return make


def test_a_factory_s_network_describes_itself(spec: Callable[..., CustomSpec]) -> None:
    found = custom.interface(spec())
    assert found.inputs == (TensorSpec("image", (1, 3, 16, 16), "float32"),)
    assert found.outputs == (TensorSpec("output_0", (1, 4), "float32"),)
    assert found.postprocessing == Logits()
    assert found.preprocessing is not None
    assert (found.preprocessing.size, found.preprocessing.channels) == ((16, 16), 3)


def test_the_factory_gets_its_options(spec: Callable[..., CustomSpec]) -> None:
    net = custom.build(spec(options={"width": 24}))
    assert next(net.parameters()).shape[0] == 24
    assert net.training


def test_a_network_that_takes_channels_last(spec: Callable[..., CustomSpec]) -> None:
    found = custom.interface(spec("ChannelsLast", layout="nhwc"))
    assert found.inputs[0].shape == (1, 16, 16, 3)
    assert found.preprocessing is not None
    assert found.preprocessing.layout == "nhwc"
    with pytest.raises(ModelError, match=r"does not take image \(1, 3, 16, 16\): .*Correct `image_shape`, `layout`"):
        custom.interface(spec("ChannelsLast"))


def test_several_inputs_and_outputs_with_names(spec: Callable[..., CustomSpec]) -> None:
    inputs = [{"name": "a", "shape": (1, 3)}, {"name": "b", "shape": (1, 2)}]
    found = custom.interface(spec("TwoHeads", task="custom", metric="m:f", inputs=inputs, outputs=("joined", "total")))
    assert [(t.name, t.shape) for t in found.inputs] == [("a", (1, 3)), ("b", (1, 2))]
    assert [(t.name, t.shape) for t in found.outputs] == [("joined", (1, 4)), ("total", (1, 1))]
    assert found.preprocessing is None
    assert found.postprocessing == Raw()


def test_names_of_outputs_must_be_as_many_as_there_are(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError, match="`outputs` names 2 tensors, but the network gives 1"):
        custom.interface(spec(outputs=("a", "b")))


def test_segmentation_has_a_class_map(spec: Callable[..., CustomSpec]) -> None:
    found = custom.interface(spec("segmenter", task="semantic_segmentation"))
    assert found.postprocessing == ClassMap()
    with pytest.raises(ModelError, match=r"must have one output of shape \(1, 4, height, width\).*output_0 \(1, 4\)"):
        custom.interface(spec("classifier", task="semantic_segmentation"))


def test_the_number_of_classes_must_agree(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError, match=r"a classifier of 7 classes .* \(1, 7\), this network has output_0 \(1, 4\)"):
        custom.interface(spec(classes=7))


def test_detection_needs_to_be_told_what_outputs_mean(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError, match="task 'detection' needs `postprocessing`"):
        custom.interface(spec("segmenter", task="detection"))


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("clasifier", "has no 'clasifier'; did you mean 'classifier'"),
        ("not_a_network", r"returned a list, not a torch\.nn\.Module"),
        ("broken", r"failed with the options \{\}: ValueError: weights are not where they were .*, in broken\)"),
        ("CODE", "has no 'CODE'"),
    ],
)
def test_a_factory_that_cannot_be_used(spec: Callable[..., CustomSpec], factory: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        custom.build(spec(factory))


def test_a_failing_factory_s_error_is_kept_as_the_cause(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError) as caught:
        custom.build(spec("broken"))
    assert isinstance(caught.value.__cause__, ValueError)


def test_options_that_the_factory_does_not_have(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError, match=r"failed with the options .*TypeError: .*'depth'"):
        custom.build(spec(options={"depth": 3}))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("text", "returned a str; it must return a tensor or a tuple of tensors"),
        ("none", "returned None; it must"),
        ("dict", "returned a dict; it must"),
        ("scalar", r"returned a tensor of shape \(\) for one sample"),
        ("flat", r"returned a tensor of shape \(768,\) for one sample; its first dimension must be the batch"),
    ],
)
def test_a_network_that_returns_something_else(spec: Callable[..., CustomSpec], what: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        custom.build(spec("Says", options={"what": what}))


def test_the_user_s_loss_trains_the_network(spec: Callable[..., CustomSpec]) -> None:
    chosen = spec(loss="loss")
    net = custom.build(chosen)
    value = custom.criterion(net, chosen)((net(torch.rand(2, 3, 16, 16)),), [1, 3])
    value.backward()
    assert value.shape == ()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("unreduced_loss", r"returned a tensor of shape \(2,\); it must return one number"),
        ("detached_loss", "does not depend on the network"),
        ("number_loss", "returned a float; it must return a scalar tensor"),
        ("failing_loss", r"failed: IndexError: tuple index out of range .*, in failing_loss\)"),
    ],
)
def test_a_loss_that_cannot_be_used(spec: Callable[..., CustomSpec], loss: str, said: str) -> None:
    chosen = spec(loss=loss)
    net = custom.build(chosen)
    with pytest.raises(TrainingError, match=said):
        custom.criterion(net, chosen)((net(torch.rand(2, 3, 16, 16)),), [1, 3])


def test_without_a_loss_there_is_no_training(spec: Callable[..., CustomSpec]) -> None:
    with pytest.raises(ModelError, match="has no `loss`"):
        custom.criterion(nn.Identity(), spec())


@pytest.fixture
def files(spec: Callable[..., CustomSpec], tmp_path: Path) -> dict[str, Path]:
    """The same classifier as a program and as an ONNX file, both with a dynamic batch."""
    net = custom.build(spec()).eval()
    inputs = (torch.rand(2, 3, 16, 16),)
    paths = {kind: tmp_path / f"net.{kind}" for kind in ("pt2", "onnx")}
    program = torch.export.export(net, inputs, dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, paths["pt2"])
    torch.onnx.export(
        net, inputs, str(paths["onnx"]), dynamo=False, input_names=["pixels"], dynamic_axes={"pixels": {0: "n"}}
    )
    return paths


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_file_describes_itself_and_becomes_a_network(
    spec: Callable[..., CustomSpec], files: dict[str, Path], kind: str
) -> None:
    chosen = spec(None, file=files[kind], outputs=("logits",))
    found = custom.interface(chosen)
    assert [(t.name, t.shape) for t in found.inputs] == [("pixels" if kind == "onnx" else "input", (1, 3, 16, 16))]
    assert found.outputs == (TensorSpec("logits", (1, 4), "float32"),)
    net = custom.build(chosen)
    batch = torch.rand(3, 3, 16, 16)
    assert net(batch).shape == (3, 4)
    assert np.isfinite(net(batch).detach().numpy()).all()


@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_file_for_other_pictures_is_refused(
    spec: Callable[..., CustomSpec], files: dict[str, Path], kind: str
) -> None:
    with pytest.raises(ModelError, match=r"the configuration says \(1, 1, 16, 16\)"):
        custom.interface(spec(None, file=files[kind], image_shape=(1, 16, 16)))


def test_a_changed_file_is_read_again(spec: Callable[..., CustomSpec], files: dict[str, Path]) -> None:
    chosen = spec(None, file=files["onnx"])
    before = custom.file_model(chosen)
    assert custom.file_model(chosen) is before
    net = custom.build(spec(options={"width": 12})).eval()
    torch.onnx.export(net, (torch.rand(1, 3, 16, 16),), str(files["onnx"]), dynamo=False)
    assert custom.file_model(chosen) != before


def test_inputs_of_a_file_must_all_be_listed_in_its_order(spec: Callable[..., CustomSpec], tmp_path: Path) -> None:
    listed = [{"name": "a", "shape": (1, 3)}, {"name": "b", "shape": (1, 2)}]
    fields = {"task": "custom", "metric": "m:f"}
    net = custom.build(spec("TwoHeads", inputs=listed, **fields)).eval()
    path = tmp_path / "two.onnx"
    torch.onnx.export(net, (torch.rand(1, 3), torch.rand(1, 2)), str(path), dynamo=False, input_names=["a", "b"])
    assert len(custom.interface(spec(None, file=path, inputs=listed, **fields)).inputs) == 2
    with pytest.raises(
        ModelError, match="takes the inputs a, b, but `inputs` lists b, a; list all of them in the file"
    ):
        custom.interface(spec(None, file=path, inputs=listed[::-1], **fields))
    with pytest.raises(ModelError, match=r"takes 2 inputs \(a \(1, 3\), b \(1, 2\)\); pictures fill only one"):
        custom.interface(spec(None, file=path, **fields))


def test_a_missing_file_is_named(spec: Callable[..., CustomSpec], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx does not exist"):
        custom.build(spec(None, file=tmp_path / "nothing.onnx"))
