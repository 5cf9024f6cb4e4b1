from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from edge_pipeline.core.errors import ModelError
from edge_pipeline.models.checkpoints import load_weights
from edge_pipeline.models.ffnet import DEPTHS, FFNet

State = dict[str, torch.Tensor]

WIDTHS, REDUCED, SMOOTHED = (64, 128, 192, 320), (64, 128, 128, 256), (96, 96, 64, 32)


def add_conv(state: State, key: str, norm: str, shape: tuple[int, int, int], bias: bool = False) -> None:
    channels, before, kernel = shape
    scale = (2 / (before * kernel**2)) ** 0.5
    state[f"{key}.weight"] = torch.randn(channels, before, kernel, kernel) * scale
    if bias:
        state[f"{key}.bias"] = torch.randn(channels) * 0.1
    if norm:
        state[f"{norm}.weight"] = torch.rand(channels) + 0.5
        state[f"{norm}.bias"] = torch.randn(channels) * 0.1
        state[f"{norm}.running_mean"] = torch.randn(channels) * 0.1
        state[f"{norm}.running_var"] = torch.rand(channels) + 0.5
        state[f"{norm}.num_batches_tracked"] = torch.tensor(5)


def published(depths: tuple[int, ...], classes: int) -> State:
    """A state dict with keys and shapes of the published "dBBB" checkpoints, random numbers in it."""
    torch.manual_seed(0)
    state: State = {}
    add_conv(state, "backbone_model.conv0", "backbone_model.bn0", (32, 3, 3))
    add_conv(state, "backbone_model.conv1", "backbone_model.bn1", (64, 32, 3))
    before = 64
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), 1):
        for block in range(depth):
            place = f"backbone_model.layer{stage}.{block}"
            add_conv(state, f"{place}.conv1", f"{place}.bn1", (width, before, 3))
            add_conv(state, f"{place}.conv2", f"{place}.bn2", (width, width, 3))
            if block == 0:
                add_conv(state, f"{place}.downsample.0", f"{place}.downsample.1", (width, before, 1))
            before = width
    for level in range(4):
        place = f"head.layers.0.adapter_conv.{level}.layers"
        add_conv(state, f"{place}.0", f"{place}.1", (REDUCED[level], WIDTHS[level], 1))
        name = f"fam_{4 * 2**level}" + ("_sm" if level else "")
        place = f"head.layers.1.{name}.layers"
        add_conv(state, f"{place}.0", f"{place}.1", (SMOOTHED[level], REDUCED[level], 3))
        if level:
            place = f"head.layers.1.fam_{4 * 2**level}_up.layers"
            add_conv(state, f"{place}.0", f"{place}.1", (REDUCED[level - 1], REDUCED[level], 1))
    add_conv(state, "head.layers.3.last_layer.0", "head.layers.3.last_layer.1", (256, 288, 3), bias=True)
    add_conv(state, "head.layers.3.last_layer.3", "", (classes, 256, 3), bias=True)
    return state


def reference(state: State, depths: tuple[int, ...], x: torch.Tensor) -> torch.Tensor:
    """What the paper's network makes of `x`, written down without modules."""

    def conv(x: torch.Tensor, key: str, norm: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{key}.weight"]
        x = F.conv2d(x, weight, state.get(f"{key}.bias"), stride, weight.shape[2] // 2)
        if norm:
            mean, var, scale, shift = (state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
            x = F.batch_norm(x, mean, var, scale, shift, eps=1e-5)
        return x

    def pair(x: torch.Tensor, place: str) -> torch.Tensor:
        return conv(x, f"{place}.layers.0", f"{place}.layers.1").relu()

    for i in (0, 1):
        x = conv(x, f"backbone_model.conv{i}", f"backbone_model.bn{i}", 2).relu()
    features = []
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            place, stride = f"backbone_model.layer{stage}.{block}", 1 if block else 2
            shortcut = x if block else conv(x, f"{place}.downsample.0", f"{place}.downsample.1", 2)
            inner = conv(x, f"{place}.conv1", f"{place}.bn1", stride).relu()
            x = (conv(inner, f"{place}.conv2", f"{place}.bn2") + shortcut).relu()
        features.append(x)
    f4, f8, f16, f32 = (pair(f, f"head.layers.0.adapter_conv.{i}") for i, f in enumerate(features))
    up = "head.layers.1.fam_"
    f16 = f16 + F.interpolate(pair(f32, f"{up}32_up"), f16.shape[2:])
    f8 = f8 + F.interpolate(pair(f16, f"{up}16_up"), f8.shape[2:])
    f4 = f4 + F.interpolate(pair(f8, f"{up}8_up"), f4.shape[2:])
    fine = pair(f4, f"{up}4")
    coarse = [pair(f8, f"{up}8_sm"), pair(f16, f"{up}16_sm"), pair(f32, f"{up}32_sm")]
    merged = torch.cat([fine, *(F.interpolate(level, fine.shape[2:]) for level in coarse)], 1)
    last = "head.layers.3.last_layer"
    return conv(conv(merged, f"{last}.0", f"{last}.1").relu(), f"{last}.3", "")


@pytest.mark.parametrize("name", DEPTHS)
def test_a_published_checkpoint_gives_the_published_network(name: str, tmp_path: Path) -> None:
    state = published(DEPTHS[name], classes=19)
    torch.save(state, tmp_path / "published.pth")
    net = FFNet(DEPTHS[name], (96, 160), classes=19)
    load_weights(net, tmp_path / "published.pth")
    image = torch.randn(2, 3, 96, 160)
    with torch.no_grad():
        expected, found = reference(state, DEPTHS[name], image), net.eval()(image)
    assert float(expected.std()) > 0.01
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_an_own_checkpoint_loads_as_well(tmp_path: Path) -> None:
    first, second = (FFNet(DEPTHS["ffnet_40s"], (96, 96), classes=3) for _ in range(2))
    torch.save(first.state_dict(), tmp_path / "own.pt")
    load_weights(second, tmp_path / "own.pt")
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"smoothing.weight": torch.zeros(3, 1, 5, 5)}, r"1 unexpected: smoothing\.weight \(3x1x5x5\)"), ({}, "missing")],
)
def test_checkpoints_of_other_networks_of_the_family_are_refused(change: State, said: str, tmp_path: Path) -> None:
    depths = "ffnet_40s" if change else "ffnet_54s"
    torch.save(published(DEPTHS["ffnet_40s"], 19) | change, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=said):
        load_weights(FFNet(DEPTHS[depths], (96, 96), 19), tmp_path / "other.pth")


def test_a_checkpoint_with_other_classes_names_the_last_layer(tmp_path: Path) -> None:
    torch.save(published(DEPTHS["ffnet_40s"], 19), tmp_path / "cityscapes.pth")
    with pytest.raises(ModelError, match=r"2 of another shape: predict\.3\.weight \(19x256x3x3\) for \(4x256x3x3\)"):
        load_weights(FFNet(DEPTHS["ffnet_40s"], (96, 96), 4), tmp_path / "cityscapes.pth")
