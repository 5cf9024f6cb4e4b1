from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from edge_pipeline.core.errors import ConfigError
from edge_pipeline.core.types import Target
from edge_pipeline.hooks.preflight import check
from edge_pipeline.pipelines.config import Project, parse
from edge_pipeline.runtimes import base

ALL = ("m.split", "m.weights", "m.scorecard")
HOST = {"host": {"kind": "host"}}


def project(root: Path, checkpoint: str | None = None, **dataset: Any) -> Project:
    model = {"recipe": "classifier", "dataset": dataset or {"type": "digits"}}
    parameters = {"m": {"finetune": {"checkpoint": checkpoint}}} if checkpoint else {}
    return parse(root, {"m": model}, HOST, parameters, {})


def problems(project: Project, outputs: tuple[str, ...] = ALL, targets: tuple[Target, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        check(project, outputs, targets)
    return raised.value.problems


def test_nothing_missing_is_no_problem(tmp_path: Path, target: Target) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "start.pt").touch()
    check(project(tmp_path, "start.pt", type="image_folder", path="images"), ALL, [target])


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    found = problems(project(tmp_path, "start.pt", type="image_folder", path="images"))
    assert [one.split(": ")[:2] for one in found] == [
        ["models.yml", "m.dataset.path"],
        ["parameters", "m.finetune.checkpoint"],
    ]
    assert str(tmp_path / "images") in found[0]
    assert str(tmp_path / "start.pt") in found[1]


def test_what_the_run_does_not_read_may_be_missing(tmp_path: Path) -> None:
    check(project(tmp_path, "start.pt", type="image_folder", path="images"), ["m.scorecard"], [])


def test_a_package_that_a_target_needs_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(base, "version", version)
    typed = project(tmp_path)
    (found,) = problems(typed, targets=typed.models["m"].expand("m"))
    assert "pip install 'edge-pipeline[litert]'" in found
