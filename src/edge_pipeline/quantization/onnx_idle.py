"""Remove activations of a QDQ model that cannot change a number."""

from typing import Any

import numpy as np


def drop_idle_activations(model: Any) -> int:
    """Remove each Relu and Clip whose bounds lie outside of the range of the quantizer before it; return how many.

    Its input is then one of the numbers that the quantizer can give, and comes out as it went in. Such nodes keep ONNX
    Runtime from joining the integer layers around them.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    given = {tensor.name for tensor in graph.output}

    def value(name: str) -> Any:
        """Return the constant `name`, dequantized; `None` if it is none."""
        from onnx.numpy_helper import to_array

        if name in constants:
            return to_array(constants[name])
        node = producers.get(name)
        if node is None or node.op_type not in ("DequantizeLinear", "QuantizeLinear"):
            return None
        if node.op_type == "QuantizeLinear":
            return value(node.input[0])
        if node.input[0] not in constants:
            return None
        integers, scale, zero = (to_array(constants[one]) for one in node.input)
        return (integers.astype(np.float32) - zero.astype(np.float32)) * scale

    def bounds(node: Any) -> tuple[float, float] | None:
        if node.op_type == "Relu":
            return 0.0, np.inf
        low, high = (
            value(name) if name else limit
            for name, limit in zip([*node.input[1:], "", ""][:2], (-np.inf, np.inf), strict=True)
        )
        return None if low is None or high is None else (float(low), float(high))

    def reached(node: Any) -> tuple[float, float]:
        """Return the smallest and the largest number that a DequantizeLinear gives."""
        scale, zero = (value(name) for name in node.input[1:3])
        limits = np.iinfo(zero.dtype)
        return tuple((np.float32(end) - np.float32(zero)) * scale for end in (limits.min, limits.max))

    dropped = []
    for node in graph.node:
        before = producers.get(node.input[0]) if node.op_type in ("Relu", "Clip") else None
        if before is None or before.op_type != "DequantizeLinear" or node.output[0] in given:
            continue
        allowed, found = bounds(node), reached(before)
        if allowed is not None and allowed[0] <= found[0] and found[1] <= allowed[1]:
            dropped.append((node, before.output[0]))
    for idle, source in dropped:
        for node in graph.node:
            for index, name in enumerate(node.input):
                if name == idle.output[0]:
                    node.input[index] = source
        graph.node.remove(idle)
    return len(dropped)
