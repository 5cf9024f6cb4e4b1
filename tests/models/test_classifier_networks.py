import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.interface import Logits
from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ClassifierSpec

TORCHVISION = [
    "resnet18",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
    "squeezenet1_1",
]
TIMM = ["mobilenetv3_small_100", "resnet18", "efficientnet_lite0", "ghostnet_100", "mobilenetv4_conv_small"]
NETWORKS = ["efficientnet_lite0", *(f"torchvision.{n}" for n in TORCHVISION), *(f"timm.{n}" for n in TIMM)]


@pytest.fixture(autouse=True)
def library(request: pytest.FixtureRequest, needs: Callable[[str], Any]) -> None:
    """A test of a network of timm needs timm."""
    callspec = getattr(request.node, "callspec", None)
    if callspec and str(callspec.params.get("network")).startswith("timm."):
        needs("timm")


def spec(network: str, **changes: Any) -> ClassifierSpec:
    settings = {"image_shape": (3, 64, 64), "classes": 7, **changes}
    return ClassifierSpec(recipe="classifier", network=network, **settings)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_by_name_gives_a_logit_for_each_class(network: str) -> None:
    entry = spec(network)
    net = classifier.build(entry)
    assert net.training
    found = classifier.interface(entry)
    with torch.no_grad():
        logits = net.eval()(torch.zeros(found.inputs[0].shape))
    assert tuple(logits.shape) == found.outputs[0].shape == (1, 7)
    assert found.postprocessing == Logits()
    assert found.preprocessing is not None
    assert found.preprocessing.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("network", ["efficientnet_lite0", "torchvision.mobilenet_v2", "timm.mobilenetv3_small_100"])
def test_grey_pictures_are_taken(network: str) -> None:
    entry = spec(network, image_shape=(1, 64, 48))
    net = classifier.build(entry).eval()
    with torch.no_grad():
        assert tuple(net(torch.zeros(1, 1, 64, 48)).shape) == (1, 7)
    preprocessing = classifier.interface(entry).preprocessing
    assert preprocessing is not None
    assert (preprocessing.channels, len(preprocessing.mean), len(preprocessing.std)) == (1, 1, 1)
    assert preprocessing.mean[0] == pytest.approx(0.449)


@pytest.mark.parametrize("network", ["torchvision.googlenet", "torchvision.inception_v3"])
def test_training_has_one_output_where_the_paper_has_auxiliary_ones(network: str) -> None:
    net = classifier.build(spec(network, image_shape=(3, 96, 96)))
    assert isinstance(net(torch.zeros(2, 3, 96, 96)), torch.Tensor)


def test_a_vision_transformer_gets_the_size_of_the_image() -> None:
    net = classifier.build(spec("torchvision.vit_b_32")).eval()
    with torch.no_grad():
        assert tuple(net(torch.zeros(1, 3, 64, 64)).shape) == (1, 7)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("torchvision.resnet81", "torchvision has no classifier 'resnet81': did you mean 'resnet18'"),
        ("torchvision.fcn_resnet50", "torchvision has no classifier 'fcn_resnet50': did you mean"),
        ("timm.resnet18x", "timm has no network 'resnet18x': did you mean 'resnet18'"),
        ("timm.zzz", r"timm has no network 'zzz': `timm.list_models\(\)`"),
        ("timm.resnet18.a1_in2k", "timm has no weights 'a1_in2k' of 'resnet18': did you mean 'a1_in1k'"),
    ],
)
@pytest.mark.parametrize("pretrained", [False, True])
def test_an_unknown_network_names_the_closest(network: str, message: str, pretrained: bool) -> None:
    with pytest.raises(ModelError, match=message):
        classifier.build(spec(network, pretrained=pretrained))


@pytest.mark.parametrize(
    ("network", "closest"), [("small_cn", "small_cnn"), ("efficientnet_lite1", "efficientnet_lite0"), ("keras.x", "")]
)
def test_a_network_of_nowhere_names_the_valid_ones(network: str, closest: str) -> None:
    entry = spec("small_cnn").model_copy(update={"network": network})
    for function in (classifier.build, classifier.interface):
        with pytest.raises(ModelError, match=f"there is no network '{network}': .*{closest}"):
            function(entry)


def test_images_too_small_for_a_network_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'torchvision.alexnet' does not take images .*\[3, 16, 16\]"):
        classifier.build(spec("torchvision.alexnet", image_shape=(3, 16, 16)))


def test_missing_timm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    entry = ClassifierSpec(recipe="classifier", network="timm.resnet18", image_shape=(3, 64, 64))
    with pytest.raises(ModelError, match=r"pip install 'edge-pipeline\[timm\]'"):
        classifier.build(entry)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_cross_entropy_with_smoothed_labels(smoothing: float) -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 1.0]])
    loss = classifier.criterion(nn.Identity(), spec("small_cnn", classes=3), label_smoothing=smoothing)
    smoothed = np.full((2, 3), smoothing / 3)
    smoothed[[0, 1], [0, 2]] += 1 - smoothing
    expected = -(smoothed * logits.double().log_softmax(1).numpy()).sum(1).mean()
    assert float(loss((logits,), [0, np.int64(2)])) == pytest.approx(expected, rel=1e-5)
