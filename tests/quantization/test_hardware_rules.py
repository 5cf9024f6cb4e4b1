"""The rules of each version of the NPU."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge_pipeline.quantization import ptq
from edge_pipeline.quantization.hardware import hardware_rules
from edge_pipeline.quantization.layout import Layout

VERSIONS = ["v68", "v69", "v73", "v75", "v79", "v81"]


@pytest.fixture
def build(network: Callable[..., Any], pictures: torch.Tensor) -> Callable[..., Any]:
    def make(name: str, **layout: Any) -> Any:
        inputs = (torch.zeros_like(pictures[:1]),)
        prepared = ptq.prepare(network(name), inputs, equalize=False)
        found = ptq.simulate(prepared, inputs, Layout(scheme="min_max", **layout))
        ptq.calibrate(found, [(pictures,)])
        return found

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_makes_a_simulation_that_fuses_convolution_and_clamp(
    build: Callable[..., Any], pictures: torch.Tensor, version: str
) -> None:
    found = build("separable", hexagon=version).model
    for conv, clamp in (("first.0", "first.2"), ("depthwise.0", "depthwise.2")):
        assert list(found.get_submodule(conv).output_quantizers) == [None]
        assert found.get_submodule(clamp).output_quantizers[0] is not None
    with torch.no_grad():
        assert bool(torch.isfinite(found(pictures)).all())


@pytest.mark.parametrize("version", VERSIONS)
def test_all_versions_fuse_a_convolution_with_its_clip(tmp_path: Path, version: str) -> None:
    rules = json.loads(hardware_rules(version, True, tmp_path).read_text())
    assert {"op_list": ["Conv", "Clip"]} in rules["supergroups"]


@pytest.mark.parametrize(("per_channel", "expected"), [(True, [8, 16, 16]), (False, [1, 1, 1])])
def test_a_weight_has_a_range_by_channel_or_one(
    build: Callable[..., Any], per_channel: bool, expected: list[int]
) -> None:
    found = ptq.encodings(build("separable", per_channel=per_channel))
    assert sorted(len(one["scale"]) for name, one in found.items() if "weight" in name) == expected
