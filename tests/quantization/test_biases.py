"""Every bias gets its exact scale, also after a pooling, so that the layers run on integers."""

from typing import Any

import numpy as np
import onnx

from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.runtimes.session import open_session


def test_every_bias_has_the_scale_of_its_input_times_that_of_its_weight(exported: dict[Precision, Artifact]) -> None:
    graph = onnx.load_from_string(exported[Precision.W8A8].files["model.onnx"]).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}

    def scale(name: str) -> Any:
        node = producers[name]
        while node.op_type in ("Transpose", "Flatten", "Reshape"):
            node = producers[node.input[0]]
        assert node.op_type == "DequantizeLinear"
        return constants[node.input[1]]

    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == 4
    for layer in layers:
        image, weight, bias = (scale(name) for name in layer.input)
        assert np.allclose(bias, image * weight, rtol=1e-4)


def test_onnx_runtime_runs_every_layer_on_integers(onnx_compiled: dict[Precision, Artifact], images: Any) -> None:
    session = open_session("onnx", onnx_compiled[Precision.W8A8].files["model.onnx"], threads=1)
    types = [layer["type"] for layer in session.layers([images[:1]], 1)]
    assert types.count("QuantizeLinear") == types.count("DequantizeLinear") == 1
    assert not {"Conv", "Gemm", "MatMul", "MaxPool", "Relu"} & set(types)
