"""A model with its outputs on samples, to tell whether a pass kept what it computes."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from edge_pipeline.core.numerics import IDENTICAL_DB, sqnr_db
from edge_pipeline.core.quiet import quiet
from edge_pipeline.core.types import Precision
from edge_pipeline.runtimes.onnx_session import OnnxSession
from edge_pipeline.runtimes.passes.base import FLOAT16_DB, FLOAT_DB, LEFT, QDQ_DB, Goal, Pass
from edge_pipeline.runtimes.passes.costs import multiply_adds
from edge_pipeline.runtimes.passes.graph import is_quantized

Samples = list[list[NDArray[Any]]]


@dataclass(frozen=True)
class Candidate:
    """A model and what it computes.

    Attributes:
        data: the ONNX file, with the shapes of its tensors as far as they can be told.
        strict: whether ONNX's own checker has to accept it, and ONNX Runtime to load it with all its optimizations;
            some models run without.
        samples: inputs, sample by sample.
        tolerance: lowest agreement after a change, in dB.
        outputs: of every sample.
        problem: why it is no valid model, or cannot be checked; empty if there is none.
        nodes: their number.
        multiply_adds: of one inference.
    """

    data: bytes
    strict: bool
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
        made = cls._of(proto, True, samples, tolerance)
        if made.problem:
            made = cls._of(proto, False, samples, tolerance)
        return replace(made, problem=f"not checked, so not run: {made.problem}") if made.problem else made

    @classmethod
    def _of(cls, proto: onnx.ModelProto, strict: bool, samples: Samples, tolerance: float) -> "Candidate":
        outputs: Samples = []
        problem, data = "", b""
        try:
            with quiet():
                proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
                if strict:
                    onnx.checker.check_model(proto)
            data = proto.SerializeToString()
            if strict:
                OnnxSession(data, threads=1)
            outputs = _run(data, samples)
        except Exception as error:
            problem = f"the model is not valid: {str(error)[:200]}"
        return cls(data, strict, samples, tolerance, outputs, problem, len(proto.graph.node), multiply_adds(proto))

    def changed(self, change: Callable[[onnx.ModelProto], list[str]]) -> "tuple[Candidate, list[str]]":
        """Return the model after a change of it, and what the change returned."""
        before, proto = onnx.load_from_string(self.data), onnx.load_from_string(self.data)
        with quiet():
            said = change(proto)
        if all(line.startswith(LEFT) for line in said):
            return self, said
        made = self._of(proto, self.strict, self.samples, self.tolerance)
        if not made.problem and not _keeps_interface(before, onnx.load_from_string(made.data)):
            made = replace(made, problem="inputs, outputs or opsets of the model would change")
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


def attempt(one: Pass, current: Candidate, goal: Goal) -> tuple[list[str], Candidate, float | None, str]:
    """Run one pass; return its changes, the model to go on with, the SQNR in dB, and a note."""
    try:
        made, said = current.changed(lambda proto: one.apply(proto, goal))
    except Exception as error:
        return [], current, None, f"undone: it failed with {type(error).__name__}: {str(error)[:200]}"
    lines = [line for line in said if not line.startswith(LEFT)]
    note = "; ".join(line for line in said if line.startswith(LEFT))
    if not lines:
        return [], current, None, note
    if made.problem:
        return [], current, None, f"undone: {made.problem}"
    sqnr = made.agreement(current)
    if one.exact and not made.equal(current):
        return [], current, sqnr, f"undone: outputs should be equal, but agree at {sqnr:.1f} dB"
    if not sqnr >= current.tolerance:
        return [], current, sqnr, f"undone: outputs agree at {sqnr:.1f} dB, less than {current.tolerance:.0f} dB"
    return lines, made, sqnr, note


def _sqnr(old: NDArray[Any], new: NDArray[Any]) -> float:
    if old.shape != new.shape or not np.array_equal(np.isfinite(old), np.isfinite(new)):
        return float("nan")
    finite = np.isfinite(old)
    return sqnr_db(old[finite], new[finite])


def _keeps_interface(before: onnx.ModelProto, after: onnx.ModelProto) -> bool:
    """Tell whether inputs, outputs and versions stay; a size that was not known may become known."""
    versions = [
        (proto.ir_version, {one.domain: one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")})
        for proto in (before, after)
    ]
    pairs = [
        pair
        for side in ("input", "output")
        for pair in itertools.zip_longest(getattr(before.graph, side), getattr(after.graph, side))
    ]
    return versions[0] == versions[1] and all(one and other and _keeps(one, other) for one, other in pairs)


def _keeps(before: onnx.ValueInfoProto, after: onnx.ValueInfoProto) -> bool:
    old, new = before.type.tensor_type, after.type.tensor_type
    if before.name != after.name or old.elem_type != new.elem_type:
        return False
    if not old.HasField("shape"):
        return True
    sizes = [[one.dim_value for one in kind.shape.dim] for kind in (old, new)]
    return len(sizes[0]) == len(sizes[1]) and all(a in (0, b) for a, b in zip(*sizes, strict=True))


def _run(data: bytes, samples: Samples) -> Samples:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    return [session.run(None, dict(zip(names, sample, strict=True))) for sample in samples]
