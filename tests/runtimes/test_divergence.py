"""Where an engine leaves the simulation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import from_array, to_array

from edge_pipeline.core.types import Artifact, Precision, RuntimeName
from edge_pipeline.runtimes import divergence
from edge_pipeline.runtimes.chips import chip
from edge_pipeline.runtimes.divergence import agreements, first_divergence


@pytest.fixture(scope="module")
def qdq(exported: dict[Precision, Artifact]) -> bytes:
    return exported[Precision.W8A8].files["model.onnx"]


def with_other_weights(model: bytes, layer: int) -> tuple[bytes, str]:
    """Turn the sign of the weights of one convolution; return the model and the convolution's name."""
    changed = onnx.load_from_string(model)
    convolutions = [node for node in changed.graph.node if node.op_type == "Conv"]
    makers = {output: node for node in changed.graph.node for output in node.output}
    name = makers[convolutions[layer].input[1]].input[0]
    (weights,) = [tensor for tensor in changed.graph.initializer if tensor.name == name]
    weights.CopyFrom(from_array(np.asarray(-to_array(weights).astype(np.int16)).clip(-128, 127).astype(np.int8), name))
    return changed.SerializeToString(), convolutions[layer].name


def test_onnx_runtime_rounds_and_does_nothing_else(qdq: bytes, onnx_compiled: Any, images: Any) -> None:
    model = onnx_compiled[Precision.W8A8].files["model.onnx"]
    found = agreements(qdq, RuntimeName.ONNX, model, [images[:1]])
    assert len(found) >= 5
    assert all(one.sqnr_db > 30 for one in found)
    assert first_divergence(found) is None


@pytest.mark.parametrize("name", ["QCS8550", "QCS6490"])
def test_the_emulator_rounds_and_does_nothing_else(qdq: bytes, images: Any, needs: Any, name: str) -> None:
    needs("onnxruntime_qnn")
    found = agreements(qdq, RuntimeName.QNN_CONTEXT_BINARY, b"", [images[:1]], chip(name).soc_model)
    assert len(found) >= 5
    assert first_divergence(found) is None


@pytest.mark.slow
def test_litert_rounds_and_does_nothing_else(qdq: bytes, litert_compiled: Any, images: Any) -> None:
    compiled = litert_compiled[Precision.W8A8]
    found = agreements(qdq, RuntimeName.TFLITE, compiled.files[compiled.details["model"]], [images[:1]])
    assert len(found) >= 5
    assert first_divergence(found) is None


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_first_layer_that_computes_something_else_is_named(qdq: bytes, images: Any, layer: int) -> None:
    wrong, name = with_other_weights(qdq, layer)
    found = agreements(qdq, RuntimeName.ONNX, wrong, [images[:1]])
    first = first_divergence(found)
    assert first is not None
    before = found[: found.index(first)]
    assert all(one.sqnr_db > 30 for one in before)
    assert first.layer.rpartition("/")[0].rpartition(".")[0] == name.rpartition("/")[0].rpartition(".")[0]


def with_another_scale(model: bytes, layer: int) -> tuple[bytes, str]:
    """Double the scale of what one activation gives; return the model and the name of the activation."""
    changed = onnx.load_from_string(model)
    activation = [node for node in changed.graph.node if node.op_type == "Relu"][layer]
    (quantizer,) = [node for node in changed.graph.node if activation.output[0] in node.input]
    constant = next(one for one in changed.graph.initializer if one.name == quantizer.input[1])
    doubled = from_array(np.asarray(to_array(constant) * 2), f"{constant.name}_doubled")
    changed.graph.initializer.append(doubled)
    quantizer.input[1] = doubled.name
    return changed.SerializeToString(), activation.name


@pytest.mark.parametrize("layer", [0, 2])
def test_the_first_layer_that_the_emulator_scales_otherwise_is_named(
    qdq: bytes, images: Any, needs: Any, monkeypatch: pytest.MonkeyPatch, layer: int
) -> None:
    needs("onnxruntime_qnn")
    original = divergence._on_emulator
    _, name = with_another_scale(qdq, layer)

    def another_scale(soc_model: int) -> Any:
        def run(model: bytes, inputs: Sequence[Any], names: list[str]) -> Any:
            return original(soc_model)(with_another_scale(model, layer)[0], inputs, names)

        return run

    monkeypatch.setattr(divergence, "_on_emulator", another_scale)
    found = agreements(qdq, RuntimeName.QNN_CONTEXT_BINARY, b"", [images[:1]], 66)
    first = first_divergence(found)
    assert first is not None
    assert first.layer == name
