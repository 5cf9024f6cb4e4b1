"""Graph passes that prepare an ONNX model for its engine, by the names that a user writes."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from edge_pipeline.core.errors import ConfigError, suggest
from edge_pipeline.core.types import Precision, RuntimeName

if TYPE_CHECKING:
    import onnx

LEFT = "left "
"""Begins a line of a pass that tells what it did not change, and why; such lines make the note of its report."""

FLOAT_DB, FLOAT16_DB, QDQ_DB = 80.0, 50.0, 40.0
"""Lowest agreement of outputs before and after a pass, in dB. Rounding alone stays above: of float32 in another order,
of float16, and of integers, some of which come out one step apart."""


@dataclass(frozen=True)
class Goal:
    """What the graph is prepared for.

    Attributes:
        runtime: the engine.
        hexagon: version of the NPU, `v68` ... `v81`; `None` on a CPU.
        precision: of the model.
    """

    runtime: RuntimeName
    hexagon: str | None
    precision: Precision


@dataclass(frozen=True)
class Pass:
    """One named change of a graph.

    Attributes:
        name: what users write.
        purpose: one line for a listing.
        wanted: whether it is taken for a goal when the user names no passes.
        apply: changes the model in place and returns one line for each change; see also `LEFT`.
        exact: whether it promises equal outputs, bit by bit.
    """

    name: str
    purpose: str
    wanted: Callable[[Goal], bool]
    apply: "Callable[[onnx.ModelProto, Goal], list[str]]"
    exact: bool = False


@dataclass(frozen=True)
class Change:
    """What one pass did to a model.

    Attributes:
        name: of the pass.
        changes: one line each; empty where it found nothing or was undone.
        nodes_before: number of nodes.
        nodes_after: number of nodes.
        multiply_adds_before: of one inference: convolutions and matrix products whose shapes are known.
        multiply_adds_after: the same.
        sqnr_db: lowest SQNR of an output against the same output before, in dB, at most `IDENTICAL_DB`; `None` where
            nothing was changed or the changed model does not run.
        seconds: with the check.
        note: what was left as it was, or why the pass was undone.
    """

    name: str
    changes: tuple[str, ...]
    nodes_before: int
    nodes_after: int
    multiply_adds_before: int
    multiply_adds_after: int
    sqnr_db: float | None
    seconds: float
    note: str = ""


def _in(module: str) -> "Callable[[onnx.ModelProto, Goal], list[str]]":
    """Return the function `apply` of a module beside this one, which is imported when it is called."""

    def apply(model: "onnx.ModelProto", goal: Goal) -> list[str]:
        found: list[str] = importlib.import_module(f"edge_pipeline.runtimes.passes.{module}").apply(model, goal)
        return found

    return apply


def _always(goal: Goal) -> bool:
    return True


def _quantized(goal: Goal) -> bool:
    return goal.precision.quantized


def _float(goal: Goal) -> bool:
    return not goal.precision.quantized


def _npu(goal: Goal) -> bool:
    return goal.hexagon is not None


PASSES = {
    one.name: one
    for one in (
        Pass("constant_folding", "compute once what does not depend on the input", _always, _in("constants")),
        Pass("dead_code", "drop what nothing uses, what changes nothing, and copies", _always, _in("dead_code")),
        Pass("graph_fusion", "make batch norms, factors and offsets part of a layer", _float, _in("fusion")),
        Pass("layer_decomposition", "replace layers that the NPU lacks by some it has", _npu, _in("decomposition")),
        Pass("transpose_removal", "cancel transposes against each other", _always, _in("transposes")),
        Pass("pad_folding", "let a convolution or pooling do the padding before it", _always, _in("pads")),
        Pass(
            "implied_activations",
            "drop activations that the next quantizer implies, so that layers run on integers",
            _quantized,
            _in("activations"),
            exact=True,
        ),
        Pass(
            "int32_biases", "give biases the 32-bit integers that integer layers add up in", _quantized, _in("biases")
        ),
    )
}
"""All passes by name, in the order in which they run unless the user gives another."""


def check_names(names: Sequence[str]) -> list[str]:
    """Return one problem for each name that is no pass, with the closest name that is one."""
    return [f"there is no pass '{name}': {suggest(name, PASSES)}" for name in names if name not in PASSES]


def optimize(
    model: bytes, inputs: Sequence[NDArray[Any]], goal: Goal, names: Sequence[str] | None = None
) -> tuple[bytes, list[Change]]:
    """Run passes over a model, each checked with ONNX Runtime on samples.

    A pass that fails, whose result is invalid, or that moves an output by more than rounding is undone, which its
    report tells. If nothing is changed, the bytes of `model` are returned, and those of a file that is no ONNX model:
    the engine's compiler tells what is wrong with it.

    Args:
        model: ONNX file, float or QDQ.
        inputs: one array for each input of the model, in its order; (1, ...) or several samples (n, ...).
        goal: what the model is prepared for.
        names: passes to run, in this order; `None` for all that are wanted for the goal.

    Returns:
        The model, and one report for each pass.

    Raises:
        ConfigError: a name is not that of a pass.
        ValueError: there is not one array for each input, or an array without samples.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from edge_pipeline.runtimes.passes.checking import Candidate, attempt

    problems = check_names(names or ())
    if problems:
        raise ConfigError(problems)
    chosen = [one for one in PASSES.values() if one.wanted(goal)] if names is None else [PASSES[name] for name in names]
    if not chosen:
        return model, []
    try:
        current = Candidate.first(model, inputs, goal)
    except DecodeError:
        return model, []
    reports = []
    for one in chosen:
        start = time.perf_counter()
        lines: list[str] = []
        sqnr, note, after = None, current.problem, current
        if not note:
            lines, after, sqnr, note = attempt(one, current, goal)
        reports.append(
            Change(
                one.name,
                tuple(lines),
                current.nodes,
                after.nodes,
                current.multiply_adds,
                after.multiply_adds,
                sqnr,
                time.perf_counter() - start,
                note,
            )
        )
        current = after
    changed = any(report.changes for report in reports)
    return (current.data if changed else model), reports
