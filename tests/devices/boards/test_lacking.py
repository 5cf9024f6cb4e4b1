"""A board that lacks something: memory, Python, a runtime, or the version of it that compiled."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.devices.inventory import DeviceSpec
from tests.devices.boards.asking import outputs, profile, refused

Wrapped = Callable[..., DeviceSpec]


@pytest.fixture
def artifact(onnx_compiled: dict[Precision, Artifact]) -> Artifact:
    return onnx_compiled[Precision.W8A8]


@pytest.mark.parametrize(("kilobytes", "samples"), [(60_000, 2), (200_000, 400_000)], ids=["to load", "for the data"])
def test_too_little_memory(wrapped: Wrapped, artifact: Artifact, kilobytes: int, samples: int) -> None:
    images = np.zeros((samples, 1, 8, 8), np.float32)
    told = refused(outputs, wrapped(agent=f"ulimit -v {kilobytes}"), artifact, images)
    assert "memory was short; end other programs on the board" in told


@pytest.mark.parametrize("end", ["kill -9 $$", "sh -c 'kill -9 $$'; exit $?"])
def test_a_kernel_that_kills_what_takes_too_much(wrapped: Wrapped, artifact: Artifact, images: Any, end: str) -> None:
    told = refused(outputs, wrapped(agent=end), artifact, images[:2])
    assert "the kernel does that when memory is short; end other programs on the board" in told


def test_no_python(wrapped: Wrapped, artifact: Artifact, images: Any) -> None:
    told = refused(outputs, wrapped(python="/no/python"), artifact, images[:2])
    assert "is `/no/python` there, a Python of 3.10 or newer?" in told and "exit status 127" in told


def test_a_python_without_the_runtime(wrapped: Wrapped, artifact: Artifact, images: Any, tmp_path: Path) -> None:
    packages, numpy = tmp_path / "packages", Path(np.__file__).parent
    packages.mkdir()
    for one in (numpy, numpy.with_name("numpy.libs")):
        (packages / one.name).symlink_to(one)
    bare = wrapped(agent=f'export PYTHONPATH={packages}; set -- -S "$@"')
    told = refused(outputs, bare, artifact, images[:2])
    assert f"has no onnxruntime; install it there: `{bare.python} -m pip install onnxruntime`" in told


@pytest.mark.slow
def test_another_version_than_the_one_that_compiled(wrapped: Wrapped, artifact: Artifact, images: Any) -> None:
    import onnxruntime

    older = replace(artifact, tools={**artifact.tools, "onnxruntime": "1.20.0"})
    there = onnxruntime.__version__
    expected = f"compiled with onnxruntime 1.20.0, run with {there} on the device"
    assert [expected in one for one in profile(wrapped(), older, images[:2]).warnings].count(True) == 1
    assert not any("compiled with" in one for one in profile(wrapped(), artifact, images[:2]).warnings)
