"""An ONNX model as a PyTorch network, so that it can be quantized and exported like any other."""

import operator
import re
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import fx, nn

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.numerics import sqnr_db
from edge_pipeline.models.onnx_file import is_quantized, node_name, open_session
from edge_pipeline.models.onnx_operators import step, supported
from edge_pipeline.models.onnx_step import Operator, UnsupportedError

AGREEMENT_DB = 80.0
"""Two float programs of the same network agree at least this well."""


def to_module(model_bytes: bytes) -> fx.GraphModule:
    """Return the network of a model that `load_onnx` returned, in evaluation mode.

    Its inputs and outputs are in the order of the model's; several outputs are a tuple. It also takes batches, unless
    the model moves values between the batch and another axis. It was compared with ONNX Runtime on random input.

    Raises:
        ModelError: an operator cannot be converted, the model is quantized, or the results do not agree.
    """
    if is_quantized(model_bytes):
        raise ModelError("the ONNX model is quantized already; it runs on ONNX Runtime only, as it is")
    model = onnx.load_from_string(model_bytes)
    _refuse_unknown(model)
    network = _network(model)
    _compare(network, model, model_bytes)
    return network


def _refuse_unknown(model: Any) -> None:
    known = supported()
    unknown: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in known or node.domain not in ("", "ai.onnx"):
            unknown.setdefault(node.op_type, node_name(node))
    if unknown:
        raise ModelError(
            f"the ONNX model uses operators that have no PyTorch form here: {', '.join(sorted(unknown.values()))}. "
            "Export the model without them, or give its PyTorch code as `factory`."
        )


def _network(model: Any) -> fx.GraphModule:
    root, graph = nn.Module(), fx.Graph()
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    shapes = _shapes(model)
    values: dict[str, Any] = {}
    for value in model.graph.input:
        values[value.name] = graph.placeholder(_identifier(value.name, values))
    for node in model.graph.node:
        arguments = tuple(_argument(name, values, constants, root, graph) for name in node.input)
        op = Operator(
            node.op_type,
            opset,
            {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute},
            arguments,
            tuple(constants.get(name) for name in node.input),
            tuple(shapes.get(name, ()) for name in node.input),
            tuple(shapes.get(name, ()) for name in node.output),
        )
        try:
            made = _placed(node, step(op), root, graph)
        except UnsupportedError as error:
            raise ModelError(f"{node_name(node)} of the ONNX model cannot be converted: {error}") from error
        if len(node.output) == 1:
            values[node.output[0]] = made
        else:
            for index, name in enumerate(node.output):
                values[name] = graph.call_function(operator.getitem, (made, index))
    results = tuple(_argument(value.name, values, constants, root, graph) for value in model.graph.output)
    graph.output(results if len(results) > 1 else results[0])
    network = fx.GraphModule(root, graph)
    network.graph.eliminate_dead_code()
    network.graph.lint()  # type: ignore[no-untyped-call]
    network.recompile()
    return network.eval()


def _placed(node: Any, found: Any, root: nn.Module, graph: fx.Graph) -> fx.Node:
    target, arguments, options = found
    name = _identifier(node.name or node.output[0], dict(root.named_children()))
    arguments = tuple(_stored(argument, f"{name}_constant", root, graph) for argument in arguments)
    if not isinstance(target, nn.Module):
        return graph.call_function(target, arguments, options)
    root.add_module(name, target)
    return graph.call_module(name, arguments, options)


def _stored(argument: Any, name: str, root: nn.Module, graph: fx.Graph) -> Any:
    """Turn a tensor among the arguments into a buffer."""
    if not isinstance(argument, torch.Tensor):
        return argument
    root.register_buffer(name, argument)
    return graph.get_attr(name)


def _argument(
    name: str, values: dict[str, Any], constants: dict[str, NDArray[Any]], root: nn.Module, graph: fx.Graph
) -> Any:
    """Return the graph's node of a tensor; a constant of one element is a plain number, larger ones are buffers."""
    if not name:
        return None
    if name in values:
        return values[name]
    constant = constants[name]
    if constant.size == 1 and constant.ndim <= 1:
        return constant.reshape(-1)[0].item()
    key = _identifier(name, dict(root.named_buffers()))
    root.register_buffer(key, torch.tensor(constant))
    values[name] = graph.get_attr(key)
    return values[name]


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {
        value.name: tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    return found | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _identifier(name: str, taken: Any) -> str:
    cleaned = re.sub(r"\W+", "_", name).strip("_") or "value"
    cleaned = f"_{cleaned}" if cleaned[0].isdigit() else cleaned
    count = 1
    while (cleaned if count == 1 else f"{cleaned}_{count}") in taken:
        count += 1
    return cleaned if count == 1 else f"{cleaned}_{count}"


def _compare(network: fx.GraphModule, model: Any, model_bytes: bytes) -> None:
    generator = np.random.default_rng(0)
    feed = {
        value.name: generator.random([dim.dim_value for dim in value.type.tensor_type.shape.dim], np.float32)
        for value in model.graph.input
    }
    wanted = open_session(model_bytes).run(None, feed)
    try:
        with torch.no_grad():
            outputs = network(*(torch.from_numpy(value) for value in feed.values()))
    except Exception as error:
        raise ModelError(f"the network converted from ONNX does not run: {str(error).splitlines()[0][:300]}") from error
    given = outputs if isinstance(outputs, tuple) else (outputs,)
    for value, expected, found in zip(model.graph.output, wanted, given, strict=True):
        if tuple(found.shape) != expected.shape:
            raise ModelError(
                f"the network converted from ONNX gives '{value.name}' the shape {tuple(found.shape)}, ONNX Runtime "
                f"{expected.shape}"
            )
        agreement = sqnr_db(expected, found.numpy())
        if not agreement >= AGREEMENT_DB:
            raise ModelError(
                f"the network converted from ONNX differs from ONNX Runtime in '{value.name}': {agreement:.1f} dB, at "
                f"least {AGREEMENT_DB:.0f} dB expected"
            )
