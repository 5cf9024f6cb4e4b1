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


def test_weights_of_4_bits_and_activations_of_16_stay_so(model: Any) -> None:
    text = """(float[1,3,6,6] x) => (float[1,4,3,3] y) {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear<axis=0>(w4, ws, wz)
        a = Conv<pads=[1,1,1,1]>(d, w, b) c = Relu(a) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
        r = QuantizeLinear(p, s, low) y = DequantizeLinear(r, s, low) }"""
    constants = {"s": np.float32(1e-4), "z": np.uint16(32768), "low": np.uint16(0), "b": np.float32([1, 2, 3, 4])}
    made = model(text, {**constants, "ws": np.float32([0.1, 0.2, 0.3, 0.4])}, 21, unchecked=True)
    numbers = np.random.default_rng(0).integers(-7, 7, 108)
    for name, values, size in (("w4", numbers, (4, 3, 3, 3)), ("wz", np.zeros(4, int), (4,))):
        made.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT4, size, values))
    inputs = [np.random.default_rng(1).normal(size=(2, 3, 6, 6)).astype(np.float32)]
    goal = Goal(RuntimeName.ONNX, "v73", Precision.W4A16)
    data, reports = optimize(made.SerializeToString(), inputs, goal)
    changed = {one.name for one in reports if one.changes}
    assert changed == {"implied_activations", "int32_biases"}
    assert not any(one.note for one in reports)
    assert _integers(data) == {"activation": 2, "int4": 1, "int32": 1}


def test_a_model_of_float16(model: Any) -> None:
    from edge_pipeline.quantization.export import to_float16

    random = np.random.default_rng(0)
    text = """(float[1,3,8,8] x) => (float[1,4,8,8] y) {
        a = Conv<pads=[1,1,1,1]>(x, w) b = BatchNormalization(a, gamma, beta, mean, var) y = Relu(b) }"""
    constants = {name: random.uniform(0.5, 1, 4).astype(np.float32) for name in ("gamma", "beta", "mean", "var")}
    made = model(text, {**constants, "w": random.normal(size=(4, 3, 3, 3)).astype(np.float32)})
    goal = Goal(RuntimeName.ONNX, "v73", Precision.FLOAT16)
    data, reports = optimize(to_float16(made.SerializeToString()), [np.ones((1, 3, 8, 8), np.float32)], goal)
    assert not any(one.note for one in reports)
    assert "BatchNormalization" not in {node.op_type for node in onnx.load_from_string(data).graph.node}


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
