"""The ONNX file that lets ONNX Runtime load a context binary."""

from collections.abc import Mapping
from typing import Any

from edge_pipeline.runtimes.providers import QNN

WRAPPER = "wrapper.onnx"
"""Name of the file beside the binary."""


def wrapper(binary: str, context: Mapping[str, Any]) -> bytes:
    """Return an ONNX file around a binary of that name beside it, so that ONNX Runtime loads it.

    This needs the package onnx, which a board has not: there the file comes with the binary.

    Args:
        binary: name of the file.
        context: content of `tensors.json`.
    """
    import onnx
    from onnx import helper

    inputs, outputs = (
        [
            helper.make_tensor_value_info(
                one["name"], helper.np_dtype_to_tensor_dtype(onnx.numpy_helper.np.dtype(one["dtype"])), one["shape"]
            )
            for one in context[side]
        ]
        for side in ("inputs", "outputs")
    )
    node = helper.make_node(
        "EPContext",
        [one.name for one in inputs],
        [one.name for one in outputs],
        domain="com.microsoft",
        main_context=1,
        embed_mode=0,
        ep_cache_context=binary,
        source=QNN,
        partition_name=context["partition"],
    )
    graph = helper.make_graph([node], "context", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return content
