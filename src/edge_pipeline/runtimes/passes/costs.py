"""What an inference of a model costs."""

from math import prod

import onnx
import onnx_ir as ir

from edge_pipeline.runtimes.passes.graph import static, whole


def multiply_adds(proto: onnx.ModelProto) -> int:
    """Return the multiply-adds of one inference: of convolutions and matrix products whose shapes are known."""
    return sum(_cost(node) for node in ir.from_proto(proto).graph)


def _cost(node: ir.Node) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum") or len(node.inputs) < 2:
        return 0
    first, second, made = (static(value) for value in (node.inputs[0], node.inputs[1], node.outputs[0]))
    if first is None or second is None or made is None:
        return 0
    if node.op_type == "Conv":
        return prod(made) * prod(second[1:])
    if node.op_type == "ConvTranspose":
        return prod(first) * prod(second[1:])
    if node.op_type == "Einsum":
        letters = node.attributes.get_string("equation", "").replace(" ", "").partition("->")[0].replace(",", "")
        sizes = dict(zip(letters, (*first, *second), strict=False))
        return prod(sizes.values())
    transposed = node.op_type == "Gemm" and whole(node, "transA", 0)
    return prod(made) * first[0 if transposed else -1]
