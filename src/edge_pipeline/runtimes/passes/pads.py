"""Let a convolution or pooling do the padding before it."""

import numpy as np
import onnx_ir as ir

from edge_pipeline.runtimes.passes.base import Goal
from edge_pipeline.runtimes.passes.graph import (
    constant,
    edits,
    label,
    maker,
    same_quantizer,
    scalar,
    stand_in,
    static,
    whole,
)

POOLS = ("MaxPool", "AveragePool")

NOT_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Softplus")


@edits
def apply(model: ir.Model, goal: Goal) -> list[str]:
    """Fold Pads with a constant into Conv, MaxPool and AveragePool, also where quantizers lie between.

    A convolution takes pads of 0; a MaxPool of minus infinity, or of 0 where the tensor is not negative; an AveragePool
    of 0, which it then counts. All readers of the Pad have to take it. Quantizers between go too where they equal those
    before the Pad.
    """
    lines = []
    for pad in [node for node in model.graph if node.op_type == "Pad"]:
        source, pads = pad.inputs[0], _pads(pad)
        if source is None or pads is None or pad.outputs[0].is_graph_output():
            continue
        readers = _readers(pad.outputs[0])
        if not readers or not all(_takes(reader, pad, pads) for reader in readers):
            continue
        if not stand_in(pad.outputs[0], source):
            continue
        for reader in readers:
            _give(reader, pads)
        model.graph.remove(pad, safe=True)
        _join_equal_quantizers(source)
        lines.append(f"{label(pad)} -> the pads of {', '.join(label(reader) for reader in readers)}")
    return lines


def _pads(pad: ir.Node) -> tuple[list[int], list[int]] | None:
    """Return how much is added before and after each spatial axis; `None` if not constant, or other axes are padded."""
    shape, found = static(pad.inputs[0]), constant(pad.inputs[1])
    if shape is None or found is None or pad.attributes.get_string("mode", "constant") != "constant":
        return None
    axes = list(range(len(shape)))
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        given = constant(pad.inputs[3])
        if given is None:
            return None
        axes = [int(axis) % len(shape) for axis in given]
    full = np.zeros((2, len(shape)), np.int64)
    full[:, axes] = found.reshape(2, -1)
    if full[:, :2].any() or full.min() < 0 or len(shape) < 3:
        return None
    return full[0, 2:].tolist(), full[1, 2:].tolist()


def _readers(value: ir.Value) -> list[ir.Node]:
    """Return what reads a tensor, beyond one pair of quantizers; empty if that cannot be followed."""
    found: list[ir.Node] = []
    for use in value.uses():
        node = use.node
        if node.op_type == "QuantizeLinear" and use.idx == 0:
            for quantized in node.outputs[0].uses():
                if quantized.node.op_type != "DequantizeLinear" or not same_quantizer(node, quantized.node):
                    return []
                made = quantized.node.outputs[0]
                if made.is_graph_output() or any(one.idx for one in made.uses()):
                    return []
                found += [one.node for one in made.uses()]
            if node.outputs[0].is_graph_output():
                return []
        elif use.idx == 0:
            found.append(node)
        else:
            return []
    return found


def _takes(reader: ir.Node, pad: ir.Node, pads: tuple[list[int], list[int]]) -> bool:
    given = pad.inputs[2] if len(pad.inputs) > 2 else None
    value = 0.0 if given is None else _number(given)
    if reader.domain != "" or reader.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    if reader.op_type == "Conv":
        return value == 0.0
    if reader.op_type not in POOLS or whole(reader, "ceil_mode", 0) or len(reader.outputs) > 1:
        return False
    kernel, own = reader.attributes.get_ints("kernel_shape", []), _own_pads(reader, len(pads[0]))
    sums = [a + b for a, b in zip([*pads[0], *pads[1]], own, strict=True)]
    if any(one >= size for one, size in zip(sums, [*kernel, *kernel], strict=True)):
        return False
    if reader.op_type == "AveragePool":
        return value == 0.0 and (not any(own) or bool(whole(reader, "count_include_pad", 0)))
    return value == -np.inf or (value == 0.0 and _not_negative(pad.inputs[0]))


def _number(value: ir.Value) -> float | None:
    """Return a constant of one number, also where it is quantized; only 0 is told then."""
    dequantizer = maker(value, "DequantizeLinear")
    if dequantizer is None:
        return scalar(value)
    zero = scalar(dequantizer.inputs[2]) if len(dequantizer.inputs) > 2 else 0.0
    integer = dequantizer.inputs[0]
    if (quantizer := maker(integer, "QuantizeLinear")) is not None:
        return 0.0 if scalar(quantizer.inputs[0]) == 0.0 else None
    return 0.0 if zero is not None and scalar(integer) == zero else None


def _not_negative(value: ir.Value | None) -> bool:
    node = value.producer() if value is not None else None
    if node is None:
        return False
    if node.op_type == "Clip":
        low = scalar(node.inputs[1]) if len(node.inputs) > 1 else None
        return low is not None and low >= 0
    if node.op_type == "DequantizeLinear":
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 else np.uint8(0)
        return zero is not None and zero.dtype.kind in "iu" and bool((zero == np.iinfo(zero.dtype).min).all())
    return node.op_type in NOT_NEGATIVE


def _own_pads(reader: ir.Node, axes: int) -> list[int]:
    return list(reader.attributes.get_ints("pads", [0] * (2 * axes)))


def _give(reader: ir.Node, pads: tuple[list[int], list[int]]) -> None:
    own = _own_pads(reader, len(pads[0]))
    sums = [a + b for a, b in zip([*pads[0], *pads[1]], own, strict=True)]
    reader.attributes["pads"] = ir.AttrInt64s("pads", sums)
    reader.attributes.pop("auto_pad", None)
    if reader.op_type == "AveragePool":
        reader.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)


def _join_equal_quantizers(source: ir.Value) -> None:
    """Let what reads a quantizer right after an equal dequantizer read that dequantizer."""
    first = maker(source, "DequantizeLinear")
    if first is None:
        return
    for use in list(source.uses()):
        if use.node.op_type == "QuantizeLinear" and use.idx == 0 and same_quantizer(first, use.node):
            for again in [one.node for one in use.node.outputs[0].uses()]:
                stand_in(again.outputs[0], source)
