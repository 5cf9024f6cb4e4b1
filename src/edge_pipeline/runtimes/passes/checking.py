"""A model with its outputs on samples, to tell whether a pass kept what it computes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray

from edge_pipeline.core.numerics import IDENTICAL_DB, sqnr_db
from edge_pipeline.core.quiet import quiet
from edge_pipeline.core.types import Precision
from edge_pipeline.runtimes.passes.base import FLOAT16_DB, FLOAT_DB, QDQ_DB, Goal
from edge_pipeline.runtimes.passes.graph import is_quantized, whole

Samples = list[list[NDArray[Any]]]


@dataclass(frozen=True)
class Candidate:
    """A model and what it computes.

    Attributes:
        data: the ONNX file, with the shapes of its tensors as far as they can be told.
        samples: inputs, sample by sample.
        tolerance: lowest agreement after a change, in dB.
        outputs: of every sample.
        problem: why it is no valid model, or cannot be checked; empty if there is none.
        nodes: their number.
        multiply_adds: of one inference.
    """

    data: bytes
    samples: Samples = field(repr=False)
    tolerance: float
    outputs: Samples = field(repr=False)
    problem: str
    nodes: int
    multiply_adds: int

    @classmethod
    def first(cls, model: bytes, inputs: Sequence[NDArray[Any]], goal: Goal) -> "Candidate":
        """Return a model before any pass.

        Raises:
            ValueError: `inputs` do not fit the model's.
        """
        proto = onnx.load_from_string(model)
        constants = {one.name for one in proto.graph.initializer}
        wanted = [one.name for one in proto.graph.input if one.name not in constants]
        if len(wanted) != len(inputs) or not all(len(one) for one in inputs):
            raise ValueError(f"the model has the inputs {wanted}; one array is needed for each, with a sample or more")
        samples = [[one[i : i + 1] for one in inputs] for i in range(min(len(one) for one in inputs))]
        tolerance = FLOAT_DB
        if is_quantized(proto):
            tolerance = QDQ_DB
        elif goal.precision is Precision.FLOAT16:
            tolerance = FLOAT16_DB
        made = cls._of(proto, samples, tolerance)
        return (
            made if not made.problem else cls(**{**vars(made), "problem": f"not checked, so not run: {made.problem}"})
        )

    @classmethod
    def _of(cls, proto: onnx.ModelProto, samples: Samples, tolerance: float) -> "Candidate":
        outputs: Samples = []
        problem, data = "", b""
        try:
            with quiet():
                proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
                onnx.checker.check_model(proto)
            data = proto.SerializeToString()
            outputs = _run(data, samples)
        except Exception as error:
            problem = f"the model is not valid: {str(error)[:200]}"
        return cls(data, samples, tolerance, outputs, problem, len(proto.graph.node), multiply_adds(proto))

    def changed(self, change: Callable[[onnx.ModelProto], list[str]]) -> "tuple[Candidate, list[str]]":
        """Return the model after a change of it, and what the change returned."""
        before, proto = onnx.load_from_string(self.data), onnx.load_from_string(self.data)
        with quiet():
            said = change(proto)
        if all(line.startswith("left ") for line in said):
            return self, said
        made = self._of(proto, self.samples, self.tolerance)
        if not made.problem and _interface(before) != _interface(onnx.load_from_string(made.data)):
            made = Candidate(**{**vars(made), "problem": "inputs, outputs or opsets of the model would change"})
        return made, said

    def agreement(self, before: "Candidate") -> float:
        """Return the lowest SQNR of an output against that of `before`, in dB; NaN where only one of them is NaN."""
        return min(
            IDENTICAL_DB if np.array_equal(old, new, equal_nan=old.dtype.kind == "f") else _sqnr(old, new)
            for olds, news in zip(before.outputs, self.outputs, strict=True)
            for old, new in zip(olds, news, strict=True)
        )

    def equal(self, before: "Candidate") -> bool:
        """Tell whether all outputs are those of `before`, bit by bit."""
        return all(
            old.dtype == new.dtype and old.tobytes() == new.tobytes()
            for olds, news in zip(before.outputs, self.outputs, strict=True)
            for old, new in zip(olds, news, strict=True)
        )


def multiply_adds(proto: onnx.ModelProto) -> int:
    """Return the multiply-adds of one inference: of convolutions and matrix products whose shapes are known."""
    return sum(_cost(node) for node in ir.from_proto(proto).graph)


def _cost(node: ir.Node) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum") or len(node.inputs) < 2:
        return 0
    first, second, made = (_shape(value) for value in (node.inputs[0], node.inputs[1], node.outputs[0]))
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


def _shape(value: ir.Value | None) -> tuple[int, ...] | None:
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(value.shape.numpy())


def _sqnr(old: NDArray[Any], new: NDArray[Any]) -> float:
    if old.shape != new.shape or not np.array_equal(np.isfinite(old), np.isfinite(new)):
        return float("nan")
    finite = np.isfinite(old)
    return sqnr_db(old[finite], new[finite])


def _interface(proto: onnx.ModelProto) -> Any:
    graph = proto.graph
    ends = [
        [(one.name, one.type.SerializeToString(deterministic=True)) for one in side]
        for side in (graph.input, graph.output)
    ]
    opsets = {one.domain: one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")}
    return ends, opsets, proto.ir_version


def _run(data: bytes, samples: Samples) -> Samples:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return [session.run(None, dict(zip(names, sample, strict=True))) for sample in samples]
