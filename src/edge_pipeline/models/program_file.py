"""A user's `.pt2` exported program: read without running code from it, pinned to one sample, rewritten as ONNX."""

import ast
import contextlib
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from edge_pipeline.core.errors import ModelError
from edge_pipeline.core.quiet import quiet
from edge_pipeline.models.onnx_file import Shapes, load_onnx, wanted_shapes

OPSET = 18
"""The oldest opset that PyTorch's exporter of programs writes itself."""

_TARGETS = ("torch.ops.", "torch.sym_", "_operator.", "math.")
_EXPRESSION = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
_CALLED = {
    "Symbol",
    "Integer",
    "Rational",
    "Float",
    "Add",
    "Mul",
    "Pow",
    "Max",
    "Min",
    "Mod",
    "PythonMod",
    "FloorDiv",
    "CleanDiv",
    "CeilDiv",
    "ModularIndexing",
    "Where",
    "Eq",
    "Ne",
}
"""What PyTorch writes of sizes: SymPy's constructors and its own integer functions."""


def load_program(path: Path, shapes: Shapes | None = None, *, single: tuple[int, ...] | None = None) -> bytes:
    """Return the network of a `.pt2` file as ONNX: self-contained, static shapes, batch 1; see `load_onnx`.

    Inputs have the names they had in the exported network's `forward`, outputs `output_0`, `output_1` and so on.

    `torch.export.load` unpickles parts of the file and evaluates expressions in it as Python, so a file could run code.
    Here unpickling is limited to tensors and plain values, and a file with compiled code, pickled objects, other
    functions than operators, or expressions other than arithmetic is refused before it is loaded.

    Args:
        path: the file.
        shapes: shapes of inputs, needed where a dimension other than the batch is dynamic.
        single: shape of the input whatever its name is, if there is only one.

    Raises:
        ModelError: missing, damaged, unsafe, of an incompatible PyTorch, an input that is not a float32 tensor, a
            dimension that is not known, or an operator without ONNX form.
    """
    if not path.is_file():
        raise ModelError(f"the exported program {path} does not exist; correct `file`")
    _refuse_code(path)
    program = _loaded(path)
    names = [str(name) for name in program.graph_signature.user_inputs]
    inputs = _inputs(program, names, wanted_shapes(names, shapes, single, path), path)
    return _as_onnx(program, inputs, path)


def _refuse_code(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("a checksum is wrong")
            names = archive.namelist()
            documents = [json.loads(archive.read(name)) for name in names if name.endswith(".json")]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise ModelError(f"{path} is truncated or not an exported program; save it again with torch.export") from error
    found = sorted({kind for kind in ("aotinductor", "custom_obj") if any(f"/{kind}" in name for name in names)})
    found += [reason for document in documents for reason in _suspicious(document)]
    if found:
        raise ModelError(
            f"{path} was refused, because loading it could run code from the file: it holds {', '.join(found[:3])}. "
            "Export a network that consists of PyTorch operators and tensors only."
        )


def _suspicious(value: Any) -> Iterator[str]:
    """Yield what in a program's description would be evaluated or called and is neither arithmetic nor an operator."""
    if isinstance(value, list):
        for item in value:
            yield from _suspicious(item)
    elif isinstance(value, dict):
        expression, target = value.get("expr_str"), value.get("target")
        if isinstance(expression, str) and not _is_arithmetic(expression):
            yield f"the expression '{expression[:60]}'"
        if isinstance(target, str) and not target.startswith(_TARGETS):
            yield f"the function '{target[:60]}'"
        if value.get("use_pickle") is True:
            yield "pickled objects"
        for item in value.values():
            yield from _suspicious(item)


def _is_arithmetic(expression: str) -> bool:
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError):
        return False
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    return (
        all(isinstance(node, _EXPRESSION) for node in nodes)
        and all(isinstance(one, ast.Name) and one.id in _CALLED for one in called)
        and all(_is_plain(node.value) for node in nodes if isinstance(node, ast.Constant))
    )


def _is_plain(constant: Any) -> bool:
    return isinstance(constant, int | float) or (isinstance(constant, str) and constant.isalnum())


def _loaded(path: Path) -> Any:
    with _only_tensors(), quiet(logging.CRITICAL):
        try:
            return torch.export.load(path)
        except Exception as error:
            if "weights_only" in str(error) or "Weights only" in str(error):
                raise ModelError(
                    f"{path} was refused, because loading it could run code from the file: it holds pickled objects. "
                    "Export a network that consists of PyTorch operators and tensors only."
                ) from error
            raise ModelError(
                f"{path} cannot be loaded by PyTorch {torch.__version__}: it is damaged, or another version of PyTorch "
                "wrote it. Save it again with this one."
            ) from error


@contextlib.contextmanager
def _only_tensors() -> Iterator[None]:
    """Limit unpickling to tensors and plain values, also where PyTorch would fall back to anything."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    previous = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ[name]
        else:
            os.environ[name] = previous


def _inputs(program: Any, names: list[str], shapes: Shapes, path: Path) -> dict[str, torch.Tensor]:
    """Return zeros for each input, with batch 1."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    made = {}
    for name in names:
        value = values.get(name)
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            said = value.dtype if isinstance(value, torch.Tensor) else "no tensor"
            raise ModelError(f"the input '{name}' of {path} is {said}; inputs must be float32 tensors")
        made[name] = torch.zeros(_fixed_shape(name, value, shapes.get(name), path))
    if not made:
        raise ModelError(f"{path} takes no inputs: everything in it is constant")
    return made


def _fixed_shape(name: str, value: torch.Tensor, wanted: tuple[int, ...] | None, path: Path) -> tuple[int, ...]:
    where, shown = f"the input '{name}' of {path}", f"({', '.join(map(str, value.shape))})"
    dynamic = [not isinstance(size, int) for size in value.shape]
    if wanted is None:
        unknown = [index for index, free in enumerate(dynamic) if free and index > 0]
        if unknown:
            raise ModelError(
                f"{where} has the shape {shown}: the size of its dimension {unknown[0]} is not known. Give the "
                "shape in `inputs` (or `image_shape` for pictures)."
            )
        wanted = tuple(1 if free else int(size) for size, free in zip(value.shape, dynamic, strict=True))
        if wanted[:1] != (1,) and len(wanted) > 1:
            raise ModelError(f"{where} has a fixed batch of {wanted[0]}; export it with a batch of 1 or a dynamic one")
        return wanted
    agree = len(wanted) == len(dynamic) and all(
        free or size == given for size, free, given in zip(value.shape, dynamic, wanted, strict=True)
    )
    if not agree:
        raise ModelError(f"{where} has the shape {shown}, the configuration says {tuple(wanted)}")
    return wanted


def _as_onnx(program: Any, inputs: dict[str, torch.Tensor], path: Path) -> bytes:
    arguments = tuple(inputs.values())
    with tempfile.TemporaryDirectory() as folder, quiet(logging.CRITICAL):
        target = Path(folder) / path.with_suffix(".onnx").name
        try:
            static = torch.export.export(program.module(check_guards=False), arguments)
        except Exception as error:
            raise ModelError(
                f"{path} does not run on one sample of {_listed(inputs)}: {_first_line(error)}. Export the network "
                "with one positional tensor for each input, and a dynamic batch or a batch of 1."
            ) from error
        outputs = [f"output_{index}" for index in range(len(static.graph_signature.user_outputs))]
        try:
            torch.onnx.export(
                static,
                arguments,
                str(target),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=outputs,
                external_data=False,
                verbose=False,
            )
        except Exception as error:
            raise ModelError(f"{path} has no ONNX form: {_reason(error)}") from error
        return load_onnx(target)


def _listed(inputs: dict[str, torch.Tensor]) -> str:
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost cause: PyTorch's exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
