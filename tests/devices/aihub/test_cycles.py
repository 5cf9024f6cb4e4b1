"""Cycles of single layers: from the Hub's profile to the table of layers, and nowhere invented."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_pipeline.core.types import Artifact, Layer, Profile, Target
from edge_pipeline.devices.aihub.profiles import profile
from edge_pipeline.devices.settings import ProfileSettings

LAYERS = (Layer("conv", "Conv", "npu", 0.25, cycles=1200), Layer("add", "Add", "cpu", 0.1), Layer("out", "Out", "npu"))


def told(made: Profile, artifact: Artifact) -> Profile:
    """Return a profile after it went through the protocol."""
    from qai_hub import public_api_pb2 as pb

    from edge_pipeline.hub.profiles import detail

    message = pb.ProfileDetail.FromString(detail(made).SerializeToString())
    return profile(message, artifact, ProfileSettings(), "digits@cloud/onnx/float", {})


def test_they_come_through_the_protocol_as_they_are(artifact: Artifact, make_profile: Any, target: Target) -> None:
    found = told(replace(make_profile(target), layers=LAYERS), artifact)
    assert [one.cycles for one in found.layers] == [1200, None, None]
    assert [one.time_ms for one in found.layers] == [0.25, 0.1, None]


def test_they_are_kept_and_records_of_earlier_versions_still_load(
    tmp_path: Path, make_profile: Any, target: Target
) -> None:
    import json

    from edge_pipeline.core.files import json_bytes, sha256
    from edge_pipeline.datasets.kedro_io import RecordDataset

    dataset = RecordDataset(str(tmp_path / "profile.json"), "edge_pipeline.core.types.Profile")
    dataset.save(replace(make_profile(target), layers=LAYERS))
    assert dataset.load().layers == LAYERS
    content = json.loads((tmp_path / "profile.json").read_bytes())
    for layer in content["record"]["layers"]:
        del layer["cycles"]
    content["sha256"] = sha256(json_bytes(content["record"]))
    (tmp_path / "profile.json").write_bytes(json_bytes(content))
    assert dataset.load().layers == tuple(replace(one, cycles=None) for one in LAYERS)


def test_the_table_of_layers_has_them_where_they_were_counted(make_profile: Any, target: Target) -> None:
    from edge_pipeline.hooks.records import _placement_table

    assert _placement_table(replace(make_profile(target), layers=LAYERS))["cycles"] == [1200, None, None]
    assert "cycles" not in _placement_table(replace(make_profile(target), layers=LAYERS[1:]))
