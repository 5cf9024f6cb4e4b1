"""Move the preparation of pictures into the model, which then takes bytes."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from edge_pipeline.core.errors import CompileError
from edge_pipeline.runtimes.passes.graph import Writer, constant, is_quantized, label, whole


def fold_normalisation(
    model: onnx.ModelProto, mean: Sequence[float], std: Sequence[float], scale: float = 1 / 255
) -> list[str]:
    """Let a float model take uint8 pictures and compute (x * scale - mean) / std itself, in place.

    If all that reads the input is convolutions without padding, the numbers are folded into their weights and biases,
    up to rounding, and cost nothing. With padding that would be wrong: around the picture the model has 0 after the
    preparation, not before. Then a Mul and an Add come first.

    Args:
        model: with one input (1, channels, height, width) of float32. The input keeps its name.
        mean: for each channel.
        std: for each channel.
        scale: factor before the mean is taken off.

    Returns:
        One line for each change.

    Raises:
        CompileError: the model is quantized, or has not one such input.
    """
    inside = ir.from_proto(model)
    images = [one for one in inside.graph.inputs if not one.is_initializer()]
    if is_quantized(inside):
        raise CompileError("the preparation of pictures is part of a quantized model's ranges: move it before that")
    if len(images) != 1 or images[0].dtype != ir.DataType.FLOAT or images[0].shape is None or len(images[0].shape) != 4:
        raise CompileError("only a model with one input (1, channels, height, width) of float32 can take bytes")
    image = images[0]
    if not len(mean) == len(std) == image.shape[1]:
        raise CompileError(f"mean and std have {len(mean)} and {len(std)} numbers, the input {image.shape[1]} channels")
    factor, offset = scale / np.asarray(std, np.float64), -np.asarray(mean, np.float64) / np.asarray(std, np.float64)
    readers = [use.node for use in image.uses()]
    first = next(node for node in inside.graph if node in readers)
    out = Writer(inside, first)
    prepared = out.op("Cast", image, to=ir.DataType.FLOAT.value)
    if all(_folds(node, image) for node in readers):
        for node in readers:
            _fold(Writer(inside, node), node, factor, offset)
        lines = [f"mean and std -> the weights of {label(node)}" for node in readers]
    else:
        column = (1, -1, 1, 1)
        scaled = out.op("Mul", prepared, out.constant(factor.astype(np.float32).reshape(column), "factor"))
        prepared = out.op("Add", scaled, out.constant(offset.astype(np.float32).reshape(column), "offset"))
        lines = ["mean and std -> a Mul and an Add"]
    cast = next(use.node for use in image.uses() if use.node.op_type == "Cast" and use.node not in readers)
    for use in list(image.uses()):
        if use.node is not cast:
            use.node.replace_input_with(use.idx, prepared)
    image.type = ir.TensorType(ir.DataType.UINT8)
    RemoveUnusedNodesPass()(inside)
    TopologicalSortPass()(inside)
    model.CopyFrom(ir.to_proto(inside))
    return [*lines, f"the input {image.name} -> uint8"]


def _folds(node: ir.Node, image: ir.Value) -> bool:
    """Tell whether a node is a convolution of the picture without padding, of one group, with constant weights."""
    bias = constant(node.inputs[2]) is not None if len(node.inputs) > 2 and node.inputs[2] is not None else True
    return (
        node.op_type == "Conv"
        and node.inputs[0] is image
        and constant(node.inputs[1]) is not None
        and bias
        and not any(node.attributes.get_ints("pads", []))
        and node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and whole(node, "group", 1) == 1
    )


def _fold(out: Writer, node: ir.Node, factor: np.ndarray, offset: np.ndarray) -> None:
    weight = constant(node.inputs[1])
    assert weight is not None
    wide = weight.astype(np.float64)
    moved = np.einsum("oikl,i->o", wide, offset)
    if len(node.inputs) > 2 and (bias := constant(node.inputs[2])) is not None:
        moved = moved + bias
    node.replace_input_with(1, out.constant((wide * factor[None, :, None, None]).astype(weight.dtype), "weight"))
    node.resize_inputs(3)
    node.replace_input_with(2, out.constant(moved.astype(weight.dtype), "bias"))
