import importlib.metadata
from importlib.metadata import PackageNotFoundError

import pytest

from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target
from edge_pipeline.runtimes import base


def test_the_versions_of_the_packages_behind_an_extra_are_told() -> None:
    found = base.packages(RuntimeName.TFLITE)
    assert found == {name: importlib.metadata.version(name) for name in ("litert-torch", "ai-edge-litert")}


def test_a_runtime_of_the_plain_installation_needs_none() -> None:
    assert base.packages(RuntimeName.ONNX) == {}


@pytest.mark.parametrize("missing", ["litert-torch", "ai-edge-litert"])
def test_a_missing_package_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, artifact: Artifact, missing: str
) -> None:
    def version(name: str) -> str:
        if name == missing:
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(base, "version", version)
    target = Target("digits", "host", RuntimeName.TFLITE, Precision.FLOAT)
    with pytest.raises(CompileError) as raised:
        base.runtime(RuntimeName.TFLITE).compile(artifact, target, base.CompileSettings(60))
    for text in (f"needs the package {missing}", "pip install 'edge-pipeline[litert]'", "remove 'tflite'"):
        assert text in str(raised.value)
