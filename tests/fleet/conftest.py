"""A release of the digits, signed, and boards to put it on."""

import getpass
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_pipeline.core.types import Artifact, RuntimeName
from edge_pipeline.devices.agent.tensors import pack as pack_tensors
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.fleet.bundle import Content, DeviceClass, Golden, TargetContent, pack
from edge_pipeline.fleet.keys import PrivateKey, PublicKey, generate, private_key
from tests.devices.boards.conftest import Server, sshd

__all__ = ["sshd"]

PROJECT = "Digits of the tests"
SLUG = "host-onnx-float"


@pytest.fixture(scope="session")
def key(needs: Any, tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    needs("cryptography")
    conf = tmp_path_factory.mktemp("conf")
    generate(conf, "tests")
    return private_key(conf)


@pytest.fixture(scope="session")
def stranger(key: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> PrivateKey:
    conf = tmp_path_factory.mktemp("stranger")
    generate(conf, "stranger")
    return private_key(conf)


@pytest.fixture(scope="session")
def trusted(key: PrivateKey) -> list[PublicKey]:
    return [key.public]


@pytest.fixture(scope="session")
def content() -> Content:
    """Version 1: a small network for ONNX Runtime, and what the engine answers here as its golden test."""
    import onnx
    import onnxruntime

    generator = np.random.default_rng(0)
    weights = generator.standard_normal((64, 10)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Flatten", ["image"], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "digits",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 1, 8, 8))],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (1, 10))],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    artifact = Artifact(
        "compiled",
        {"model.onnx": model},
        {"weights": "w" * 64},
        tools={"onnxruntime": onnxruntime.__version__},
        details={"runtime": "onnx", "model": "model.onnx"},
    )
    images = generator.random((3, 1, 8, 8), np.float32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    answers = np.concatenate([session.run(None, {"image": images[i : i + 1]})[0] for i in range(3)])
    target = TargetContent(
        "digits@host/onnx/float",
        "float",
        DeviceClass(RuntimeName.ONNX, ("host",), None, "host"),
        artifact,
        {"inputs": [], "preprocessing": None},
        tuple("0123456789"),
        Golden(packed((images,)), packed((answers,)), 60.0),
        artifact.lineage,
        {"accuracy": 0.97},
    )
    created = "2026-01-02T03:04:05+00:00"
    return Content(PROJECT, "digits", 1, {SLUG: target}, "# Digits\n", created, {"torch": "2"})


@pytest.fixture(scope="session")
def release(content: Content, key: PrivateKey) -> Callable[..., bytes]:
    """Return a function that makes a bundle of some version; `wrong` outputs make its golden test fail."""

    def make(version: int = 1, *, wrong: bool = False, signer: PrivateKey = key, **changes: Any) -> bytes:
        slug, target = next(iter(content.targets.items()))
        # two versions differ in a file, so that each can be told from the other by its content
        artifact = replace(target.artifact, files={**target.artifact.files, "version.txt": str(version).encode()})
        golden = target.golden
        if wrong:
            with np.load(io.BytesIO(golden.outputs)) as stored:
                golden = replace(golden, outputs=packed(tuple(-stored[name] for name in stored.files)))
        targets = {slug: replace(target, artifact=artifact, golden=golden)}
        return pack(replace(content, version=version, **{"targets": targets, **changes}), signer)

    return make


@pytest.fixture
def wrapped(sshd: Server, tmp_path: Path) -> Callable[..., DeviceSpec]:
    """Return a function that makes a board of the server; shell code may come before its Python.

    Its steps have the standard library alone, so that they begin at once; the agent has all that is installed here.
    """
    if sshd.process is None:
        sshd.start()

    def make(name: str = "board", agent: str = ":", step: str = ":", **changes: Any) -> DeviceSpec:
        script = tmp_path / f"python-{name}"
        python = sys.executable
        steps = f'case "$1" in\n*.pyz) {agent}; exec {python} "$@" ;;\n*) {step}; exec {python} -I -S "$@" ;;\nesac\n'
        script.write_text(f"#!/bin/sh\n{steps}")
        script.chmod(0o755)
        about = {
            "kind": "ssh",
            "address": f"{getpass.getuser()}@127.0.0.1:{sshd.port}",
            "keys": (sshd.folder / "user",),
            "known_hosts": sshd.folder / "known_hosts",
            "python": str(script),
            "folder": str(tmp_path / name),
            "runtimes": ("onnx",),
        }
        return DeviceSpec.model_validate({**about, **changes})

    return make


@pytest.fixture
def board(wrapped: Callable[..., DeviceSpec]) -> DeviceSpec:
    """The server as a board with nothing on it yet."""
    return wrapped()


def changed(content: Content, **changes: Any) -> dict[str, TargetContent]:
    """Return the targets of a release with other fields."""
    return {slug: replace(one, **changes) for slug, one in content.targets.items()}


def packed(tensors: Any) -> bytes:
    buffer = io.BytesIO()
    pack_tensors(buffer, tensors)
    return buffer.getvalue()


def model_folder(spec: DeviceSpec, model: str = "digits") -> Path:
    assert spec.folder
    return Path(spec.folder) / "models" / model
