from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models import classifier
from edge_pipeline.models.spec import ClassifierSpec


@pytest.fixture
def unconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights are kept and none can be downloaded; returns where torchvision keeps them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    kept = tmp_path / "hub" / "checkpoints"
    kept.mkdir(parents=True)
    return kept


def spec(network: str, **changes: Any) -> ClassifierSpec:
    settings = {"image_shape": (3, 64, 64), "classes": 7, "pretrained": True, **changes}
    return ClassifierSpec(recipe="classifier", network=network, **settings)


def keep(folder: Path, network: str) -> dict[str, torch.Tensor]:
    """Keep weights under the name by which torchvision finds them, and return them."""
    from torchvision import models

    state: dict[str, torch.Tensor] = models.get_model(network, weights=None).state_dict()
    torch.save(state, folder / Path(models.get_model_weights(network).DEFAULT.url).name)
    return state


def test_weights_that_cannot_be_downloaded_say_where_to_place_them(unconnected: Path) -> None:
    with pytest.raises(ModelError) as raised:
        classifier.build(spec("torchvision.resnet18"))
    message = str(raised.value)
    assert "trained weights of torchvision.resnet18 could not be downloaded" in message
    assert str(unconnected / "resnet18-f37072fd.pth") in message
    assert "`finetune.checkpoint`" in message


def test_timm_weights_that_cannot_be_downloaded_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needs: Callable[[str], Any]
) -> None:
    needs("timm")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"timm\.resnet18 could not be downloaded .*`finetune\.checkpoint`"):
        classifier.build(spec("timm.resnet18"))


@pytest.mark.parametrize(
    ("network", "head"),
    [("resnet18", ["fc"]), ("mobilenet_v2", ["classifier.1"]), ("squeezenet1_1", ["classifier.1"])],
)
def test_placed_weights_are_taken_and_the_head_is_new(unconnected: Path, network: str, head: list[str]) -> None:
    known = keep(unconnected, network)
    found = classifier.build(spec(f"torchvision.{network}")).state_dict()
    for key, value in known.items():
        if key.rpartition(".")[0] in head:
            assert found[key].shape[0] == 7
        else:
            assert torch.equal(found[key], value)


def test_the_published_classes_keep_the_published_head(unconnected: Path) -> None:
    known = keep(unconnected, "resnet18")
    found = classifier.build(spec("torchvision.resnet18", classes=1000)).state_dict()
    assert torch.equal(found["fc.weight"], known["fc.weight"])


def test_grey_pictures_are_seen_by_trained_weights_as_colour_ones(unconnected: Path) -> None:
    keep(unconnected, "resnet18")
    settings = {"classes": 1000, "image_shape": (1, 64, 64)}
    grey_net = classifier.build(spec("torchvision.resnet18", **settings)).eval()
    colour_net = classifier.build(spec("torchvision.resnet18", classes=1000)).eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(grey_net(grey), colour_net(grey.expand(-1, 3, -1, -1)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["googlenet", "inception_v3"])
def test_a_trained_network_and_its_copy_compute_the_same(unconnected: Path, network: str) -> None:
    keep(unconnected, network)
    trained = classifier.build(spec(f"torchvision.{network}", image_shape=(3, 96, 96))).eval()
    copy = classifier.build(spec(f"torchvision.{network}", image_shape=(3, 96, 96), pretrained=False)).eval()
    copy.load_state_dict(trained.state_dict())
    image = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(trained(image), copy(image))
    assert isinstance(trained.train()(image), torch.Tensor)


def test_a_size_that_the_weights_do_not_take_is_refused() -> None:
    with pytest.raises(ModelError, match=r"torchvision cannot make the network 'vit_b_16': .*image_size"):
        classifier.build(spec("torchvision.vit_b_16"))


@pytest.mark.parametrize(
    ("network", "mean", "std"),
    [
        ("torchvision.resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("torchvision.inception_v3", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("timm.mobilenetv3_small_100", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("timm.tf_efficientnet_lite0", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("timm.mobilenetv3_large_100.miil_in21k", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    ],
)
def test_pictures_are_normalised_as_the_weights_were_trained(
    network: str, mean: tuple[float, ...], std: tuple[float, ...], needs: Callable[[str], Any]
) -> None:
    if network.startswith("timm."):
        needs("timm")
    preprocessing = classifier.interface(spec(network)).preprocessing
    assert preprocessing is not None
    assert (preprocessing.mean, preprocessing.std) == (mean, std)


def test_a_head_replaced_is_a_linear_layer_with_a_bias(unconnected: Path) -> None:
    keep(unconnected, "mobilenet_v2")
    head = classifier.build(spec("torchvision.mobilenet_v2")).get_submodule("classifier.1")
    assert isinstance(head, nn.Linear)
    assert head.bias is not None
