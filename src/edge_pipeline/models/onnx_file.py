"""A user's ONNX file: checked, made self-contained, and pinned to one sample."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray

from edge_pipeline.core.errors import ModelError, suggest
from edge_pipeline.core.types import TensorSpec

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of an input, batch 1 included, by its name."""

_LARGEST = 2**31 - 1
"""A protobuf message, and so a self-contained ONNX file, is smaller than 2 GiB."""

_RUNTIME_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Domains whose operators ONNX Runtime brings along."""

_QUANTIZED = re.compile(r"QuantizeLinear|DequantizeLinear|DynamicQuantizeLinear|QLinear\w+|QGemm|QAttention|\w+Integer")


def load_onnx(path: Path, shapes: Shapes | None = None, *, single: tuple[int, ...] | None = None) -> bytes:
    """Return the model of a file, self-contained, with static shapes and batch 1, constants folded.

    Weights that lie in files beside it are embedded. Inputs that only give a default to a weight are removed. The model
    was run once on zeros with ONNX Runtime's CPU provider. A model that is quantized already is not simplified.

    Args:
        path: the file.
        shapes: shapes of inputs, needed where a dimension other than the batch is not fixed by the file.
        single: shape of the input whatever its name is, if there is only one.

    Raises:
        ModelError: missing, damaged, not an ONNX file, weights missing, too large, an operator or opset that ONNX
            Runtime does not have, a dimension that is not known, a fixed batch other than 1, or inputs that are not
            float32.
    """
    model = _read(path)
    _check_operators(model, path)
    _without_default_inputs(model)
    _check_inputs(model, path)
    _check(model, path)
    _pin(model, wanted_shapes([value.name for value in model.graph.input], shapes, single, path), path)
    return _run_once(model, path)


def tensors(model_bytes: bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs of a model that `load_onnx` returned."""
    graph = onnx.load_from_string(model_bytes).graph
    return tuple(map(_spec, graph.input)), tuple(map(_spec, graph.output))


def is_quantized(model_bytes: bytes) -> bool:
    """Whether the model holds quantized operators, so that it is to be imported as it is."""
    return _has_quantizers(onnx.load_from_string(model_bytes))


def open_session(model_bytes: bytes, level: str = "ORT_ENABLE_BASIC", save_to: str = "") -> Any:
    """Return an ONNX Runtime session on one thread; `save_to` gets the graph after its optimisations.

    The fusion of a matrix product and a sum is left out, because it merges the batch with other axes.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = save_to
    return ort.InferenceSession(
        model_bytes, options, providers=["CPUExecutionProvider"], disabled_optimizers=["MatMulAddFusion"]
    )


def wanted_shapes(names: list[str], shapes: Shapes | None, single: tuple[int, ...] | None, path: Path) -> Shapes:
    """Return the shapes that the configuration gives to inputs of these names.

    Raises:
        ModelError: it names an input that the file does not have.
    """
    for name in shapes or {}:
        if name not in names:
            raise ModelError(f"{path} has no input '{name}': {suggest(name, names)}")
    return {names[0]: single} if single is not None and len(names) == 1 else dict(shapes or {})


def node_name(node: Any) -> str:
    """Return how messages name a node: its operator, and its name or first output."""
    return f"{node.op_type} '{node.name or (node.output[0] if node.output else '')}'"


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ModelError(f"the ONNX file {path} does not exist; correct `file`")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ModelError(f"{path} is truncated or not an ONNX file; export it again") from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX file: it holds no operators")
    _embed_weights(model, path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    return model


def _embed_weights(model: Any, path: Path) -> None:
    outside = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in _weights(model.graph)
        if onnx.external_data_helper.uses_external_data(tensor)
    ]
    names = sorted({entry.get("location", "") for entry in outside})
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(
            f"{path} keeps weights in {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} missing from "
            f"{path.parent.resolve()}; copy what was written together with the model beside it"
        )
    size = model.ByteSize() + sum(int(entry.get("length", 0)) for entry in outside)
    if size > _LARGEST:
        raise ModelError(f"{path} has {size / 2**30:.1f} GiB with its weights; at most 2 GiB fit into one ONNX model")
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ModelError(
            f"the weights of {path} in {', '.join(names)} cannot be read: {_first_line(error)}. Copy the files again."
        ) from error


def _weights(graph: Any) -> Iterator[Any]:
    """Yield all constant tensors, those of branches and loop bodies too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _weights(inner)


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield all nodes, those of branches and loop bodies too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _check_operators(model: Any, path: Path) -> None:
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    unknown: dict[str, str] = {}
    for node in _nodes(model.graph):
        domain = node.domain or "ai.onnx"
        if node.domain not in _RUNTIME_DOMAINS:
            unknown.setdefault(f"{node.domain}::{node.op_type}", node_name(node))
        elif domain == "ai.onnx":
            try:
                onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), "")
            except Exception:
                unknown.setdefault(f"{node.op_type} (opset {opsets.get(domain, 1)})", node_name(node))
    if unknown:
        listed = ", ".join(f"{operator} at {where}" for operator, where in unknown.items())
        raise ModelError(
            f"{path} uses operators that ONNX Runtime does not have: {listed}. Export it again without them, with "
            "standard ONNX operators only."
        )


def _without_default_inputs(model: Any) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _check_inputs(model: Any, path: Path) -> None:
    if not model.graph.input:
        raise ModelError(f"{path} takes no inputs: everything in it is constant")
    for value in model.graph.input:
        kind = value.type.WhichOneof("value")
        said = _element_type(value) if kind == "tensor_type" else str(kind).removesuffix("_type")
        if said != "float32":
            raise ModelError(
                f"the input '{value.name}' of {path} is {said}; inputs must be float32. Export the model again with "
                "float32 inputs and the conversion inside of it."
            )


def _pin(model: Any, shapes: Shapes, path: Path) -> None:
    """Fix every dimension of the inputs, and forget the shapes derived from the old ones."""
    for value in model.graph.input:
        fixed = _fixed_shape(value, shapes.get(value.name), path)
        del value.type.tensor_type.shape.dim[:]
        value.type.tensor_type.shape.SetInParent()
        for size in fixed:
            value.type.tensor_type.shape.dim.add().dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _fixed_shape(value: Any, wanted: tuple[int, ...] | None, path: Path) -> tuple[int, ...]:
    where = f"the input '{value.name}' of {path}"
    if not value.type.tensor_type.HasField("shape"):
        if wanted is None:
            raise ModelError(f"{where} has no shape; give it in `inputs`")
        return wanted
    dims = list(value.type.tensor_type.shape.dim)
    said = [dim.dim_value or dim.dim_param or "?" for dim in dims]
    shown = f"({', '.join(map(str, said))})"
    if wanted is not None:
        agree = len(wanted) == len(said) and all(
            not isinstance(found, int) or found == size for found, size in zip(said, wanted, strict=True)
        )
        if not agree:
            raise ModelError(f"{where} has the shape {shown}, the configuration says {tuple(wanted)}")
        return wanted
    fixed = []
    for index, found in enumerate(said):
        if isinstance(found, int):
            if index == 0 and found != 1 and len(said) > 1:
                raise ModelError(f"{where} has a fixed batch of {found}; export it with a batch of 1 or a dynamic one")
            fixed.append(found)
        elif index == 0:
            fixed.append(1)
        else:
            raise ModelError(
                f"{where} has the shape {shown}: the size of its dimension {index} '{found}' is not known. Give the "
                "shape in `inputs` (or `image_shape` for pictures)."
            )
    return tuple(fixed)


def _check(model: Any, path: Path) -> None:
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"{path} is not a valid ONNX model: {_first_line(error)}. Export it again.") from error


def _run_once(model: Any, path: Path) -> bytes:
    """Let ONNX Runtime fold constants, run the model, and note the true shapes of its outputs."""
    quantized = _has_quantizers(model)
    data = bytes(model.SerializeToString())
    with tempfile.TemporaryDirectory() as folder:
        folded = str(Path(folder) / "folded.onnx")
        try:
            session = open_session(data, "ORT_DISABLE_ALL" if quantized else "ORT_ENABLE_BASIC", folded)
            zeros = {value.name: np.zeros(_shape(value), np.float32) for value in model.graph.input}
            results = session.run(None, zeros)
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot run {path}: {_first_line(error)}. Export it again with a lower opset or with "
                "operators that ONNX Runtime has."
            ) from error
        simplified = model if quantized else onnx.load(folded)
    _note_outputs(simplified, results, path)
    used = {node.domain or "" for node in _nodes(simplified.graph)} | {""}
    opsets = [entry for entry in simplified.opset_import if (entry.domain or "") in used - {"ai.onnx"}]
    kept = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in opsets]
    del simplified.opset_import[:]
    simplified.opset_import.extend(kept)
    return bytes(onnx.shape_inference.infer_shapes(simplified, data_prop=True).SerializeToString())


def _note_outputs(model: Any, results: list[NDArray[Any]], path: Path) -> None:
    for value, result in zip(model.graph.output, results, strict=True):
        if not isinstance(result, np.ndarray):
            raise ModelError(f"the output '{value.name}' of {path} is no tensor; outputs must be tensors")
        value.type.tensor_type.shape.SetInParent()
        del value.type.tensor_type.shape.dim[:]
        for size in result.shape:
            value.type.tensor_type.shape.dim.add().dim_value = size


def _has_quantizers(model: Any) -> bool:
    return any(_QUANTIZED.fullmatch(node.op_type) for node in _nodes(model.graph))


def _spec(value: Any) -> TensorSpec:
    return TensorSpec(value.name, _shape(value), _element_type(value))


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)


def _element_type(value: Any) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : (\w+) : ", "", lines[0])[:300]
