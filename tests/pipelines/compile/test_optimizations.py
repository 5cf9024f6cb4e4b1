"""Graph passes in the compile stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_pipeline.core.types import Artifact, Precision, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.pipelines.compile.nodes import compile
from edge_pipeline.pipelines.compile.parameters import CompileParameters
from edge_pipeline.runtimes.passes.base import PASSES


def stage(exported: Artifact, target: Target, **settings: Any) -> Artifact:
    host = DeviceSpec(kind="host")
    found = compile(
        exported, Path("unused"), CompileParameters(**settings), target=target, device=host, subject=target.name
    )
    assert isinstance(found, Artifact), found
    return found


def test_the_artifact_tells_what_the_passes_did(exported: dict[Precision, Artifact], target: Target) -> None:
    quantized = replace(target, precision=Precision.W8A8)
    found = {one["name"]: one for one in stage(exported[Precision.W8A8], quantized).details["optimizations"]}
    assert found["implied_activations"]["changes"]
    assert found["implied_activations"]["nodes_after"] < found["implied_activations"]["nodes_before"]
    assert "graph_fusion" not in found


def test_the_artifact_stays_a_child_of_what_was_exported(exported: dict[Precision, Artifact], target: Target) -> None:
    assert stage(exported[Precision.FLOAT], target).parents == exported[Precision.FLOAT].lineage


@pytest.mark.parametrize("names", [(), ("graph_fusion", "constant_folding")])
def test_passes_are_chosen_and_ordered(
    exported: dict[Precision, Artifact], target: Target, names: tuple[str, ...]
) -> None:
    found = stage(exported[Precision.FLOAT], target, optimizations=names)
    assert [one["name"] for one in found.details["optimizations"]] == list(names)


def test_an_unknown_pass_is_refused_with_the_closest_name() -> None:
    with pytest.raises(ValidationError, match="there is no pass 'graph_fusoin': did you mean 'graph_fusion'"):
        CompileParameters(optimizations=("graph_fusoin",))
    assert "graph_fusion" in PASSES
