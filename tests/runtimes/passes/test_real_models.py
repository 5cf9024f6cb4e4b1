"""Real networks: MobileNetV3 in float, and a quantized model as it leaves the pipeline."""

import io
from typing import Any

import numpy as np
import onnx
import pytest

from edge_pipeline.core.types import Precision, RuntimeName
from edge_pipeline.runtimes.passes.base import Goal, optimize


@pytest.fixture(scope="module")
def mobilenet(one_thread: None) -> bytes:
    """Return MobileNetV3-Small with the batch norms still in it."""
    import torch
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(0)
    net = mobilenet_v3_small(weights=None)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    file = io.BytesIO()
    preserve = torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(net.eval(), (torch.zeros(1, 3, 64, 64),), file, opset_version=17, dynamo=False, training=preserve)
    return file.getvalue()


@pytest.mark.parametrize("hexagon", [None, "v68", "v73"])
def test_mobilenet(mobilenet: bytes, hexagon: str | None) -> None:
    inputs = [np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)]
    data, reports = optimize(mobilenet, inputs, Goal(RuntimeName.ONNX, hexagon, Precision.FLOAT))
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert not {"BatchNormalization", "Identity", "Constant"} & set(kinds)
    assert kinds.count("Conv") == 52
    assert all(not one.note for one in reports), reports
    assert all(one.sqnr_db is None or one.sqnr_db > 80 for one in reports)
    assert reports[-1].nodes_after < reports[0].nodes_before
    assert reports[-1].multiply_adds_after == reports[0].multiply_adds_before > 1e6
    again, second = optimize(data, inputs, Goal(RuntimeName.ONNX, hexagon, Precision.FLOAT))
    assert again == data and not any(one.changes for one in second)


@pytest.mark.parametrize("hexagon", [None, "v68", "v73"])
def test_a_quantized_model_stays_quantized(exported: Any, images: Any, hexagon: str | None) -> None:
    before = exported[Precision.W8A8].files["model.onnx"]
    data, reports = optimize(before, [images[:4]], Goal(RuntimeName.ONNX, hexagon, Precision.W8A8))
    assert all(not one.note.startswith("undone") for one in reports), reports
    assert _integers(data) == _integers(before)


def _integers(data: bytes) -> dict[str, int]:
    """Count the types of the numbers that go into DequantizeLinear nodes."""
    graph = onnx.load_from_string(data).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            kind = str(constants[node.input[0]].dtype) if node.input[0] in constants else "activation"
            found[kind] = found.get(kind, 0) + 1
    return found
