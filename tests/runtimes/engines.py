"""Small models, and a delegate's library, for the tests of engines."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_pipeline.core.types import Artifact, TensorSpec

DELEGATE = Path(__file__).with_name("delegate.c")


def built_delegate(folder: Path, lacking: Callable[[str], None]) -> Path:
    """Return the library of a real delegate, which takes LOGISTIC."""
    compiler = shutil.which("cc")
    if compiler is None:
        lacking("there is no C compiler")
    library = folder / "libdelegate.so"
    subprocess.run([str(compiler), "-shared", "-fPIC", "-O1", "-o", library, DELEGATE, "-lm"], check=True)
    return library


def onnx_artifact(kinds: tuple[str, ...] = ("Relu", "Erf", "Sigmoid")) -> Artifact:
    """Return float ONNX: a convolution and then operators of one input; the NPU has no Erf."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["input", "weights"], ["t0"], name="conv")]
    for index, kind in enumerate(kinds):
        nodes.append(helper.make_node(kind, [f"t{index}"], [f"t{index + 1}"], name=kind.lower()))
    nodes[-1].output[0] = "output"
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return _artifact("onnx", "model.onnx", model.SerializeToString(), (1, 3, 8, 8), (1, 4, 6, 6))


def tflite_artifact(folder: Path) -> Artifact:
    """Return float TFLite: a convolution and LOGISTIC."""
    import litert_torch
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Sigmoid()).eval()
    path = folder / "model.tflite"
    litert_torch.convert(network, (torch.zeros(1, 3, 8, 8),)).export(str(path))
    return _artifact("tflite", "model.tflite", path.read_bytes(), (1, 3, 8, 8), (1, 4, 6, 6))


def inputs(count: int = 4) -> tuple[Any, ...]:
    return (np.random.default_rng(1).normal(size=(count, 3, 8, 8)).astype(np.float32),)


def _artifact(runtime: str, name: str, content: bytes, taken: tuple[int, ...], given: tuple[int, ...]) -> Artifact:
    specs = ((TensorSpec("input", taken, "float32"),), (TensorSpec("output", given, "float32"),))
    details = {"runtime": runtime, "model": name, "precision": "float"}
    return Artifact("compiled", {name: content}, {}, *specs, {}, details)
