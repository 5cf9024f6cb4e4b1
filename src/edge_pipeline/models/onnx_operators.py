"""How each ONNX operator of an image network is computed with PyTorch, for static shapes and constant parameters."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge_pipeline.models import onnx_shapes, onnx_windows
from edge_pipeline.models.onnx_step import Operator, Step, UnsupportedError


def step(op: Operator) -> Step:
    """Return what computes `op`.

    Raises:
        UnsupportedError: there is no such operator here, or not in this form.
    """
    if op.kind in _SIMPLE:
        return op.on_first(_SIMPLE[op.kind]())
    if op.kind in _FUNCTIONS:
        return _FUNCTIONS[op.kind], op.arguments, {}
    if op.kind in _ARITHMETIC:
        return _arithmetic(op)
    return _CONVERTED[op.kind](op)


def supported() -> set[str]:
    """Return the names of all operators that can be converted."""
    return {*_SIMPLE, *_FUNCTIONS, *_ARITHMETIC, *_CONVERTED}


def _arithmetic(op: Operator) -> Step:
    for_tensors, for_numbers = _ARITHMETIC[op.kind]
    return for_numbers if isinstance(op.arguments[0], int | float) else for_tensors, op.arguments, {}


def _extremum(op: Operator) -> Step:
    """Limit by a number, or take the larger or smaller of two tensors."""
    numbers = [one for one in op.arguments if isinstance(one, int | float)]
    tensors = tuple(one for one in op.arguments if not isinstance(one, int | float))
    if len(op.arguments) != 2:
        raise UnsupportedError(f"it has {len(op.arguments)} inputs, only two can be converted")
    if numbers:
        return torch.clamp, tensors, {"min" if op.kind == "Max" else "max": float(numbers[0])}
    return torch.maximum if op.kind == "Max" else torch.minimum, tensors, {}


def _clip(op: Operator) -> Step:
    low, high = (op.limit(name, index) for name, index in (("min", 1), ("max", 2)))
    if low == 0.0 and high in (None, 6.0):
        return op.on_first(nn.ReLU6() if high else nn.ReLU())
    if low is not None and high is not None:
        return op.on_first(nn.Hardtanh(low, high))
    return torch.clamp, op.arguments[:1], {"min": low, "max": high}


def _leaky(op: Operator) -> Step:
    return op.on_first(nn.LeakyReLU(op.number("alpha", 0.01)))


def _elu(op: Operator) -> Step:
    return op.on_first(nn.ELU(op.number("alpha", 1.0)))


def _prelu(op: Operator) -> Step:
    slope = op.given(1)
    module = nn.PReLU(slope.size)
    module.weight.data = torch.tensor(slope.reshape(-1))
    return op.on_first(module)


def _hard_sigmoid(op: Operator) -> Step:
    alpha, beta = (op.number(name, default) for name, default in (("alpha", 0.2), ("beta", 0.5)))
    if not (math.isclose(alpha, 1 / 6, rel_tol=1e-5) and beta == 0.5):
        raise UnsupportedError(f"its slope is {alpha:.4g} and its offset {beta:.4g}, only 1/6 and 0.5 can be converted")
    return op.on_first(nn.Hardsigmoid())


def _gelu(op: Operator) -> Step:
    return op.on_first(nn.GELU(op.text("approximate", "none")))


def _softmax(op: Operator) -> Step:
    axis = int(op.attributes.get("axis", -1 if op.opset >= 13 else 1))
    if op.opset < 13 and axis % len(op.shapes[0]) != len(op.shapes[0]) - 1:
        raise UnsupportedError("before opset 13 it flattens all axes after the first one it is taken over")
    return op.on_first(nn.Softmax(axis) if op.kind == "Softmax" else nn.LogSoftmax(axis))


def _gemm(op: Operator) -> Step:
    if op.attributes.get("transA", 0):
        raise UnsupportedError("its first input is transposed")
    weight, bias = op.given(1), op.constant(2)
    weight = op.number("alpha", 1.0) * (weight if op.attributes.get("transB", 0) else weight.T)
    return op.on_first(_linear(weight, None if bias is None else bias * op.number("beta", 1.0)))


def _matmul(op: Operator) -> Step:
    weight = op.constants[1]
    if weight is None or weight.ndim != 2:
        return torch.matmul, op.arguments, {}
    return op.on_first(_linear(weight.T, None))


def _linear(weight: NDArray[Any], bias: NDArray[Any] | None) -> nn.Linear:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    module.weight.data = torch.tensor(weight, dtype=torch.float32)
    if bias is not None:
        full = np.broadcast_to(bias.reshape(-1), (weight.shape[0],))
        module.bias.data = torch.tensor(full, dtype=torch.float32)
    return module


def _batch_norm(op: Operator) -> Step:
    channels, rank = op.shapes[0][1], len(op.shapes[0])
    kinds: dict[int, Callable[..., Any]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    module = kinds[rank](channels, eps=op.number("epsilon", 1e-5))
    names = ("weight", "bias", "running_mean", "running_var")
    for index, name in enumerate(names, 1):
        getattr(module, name).data = torch.tensor(op.given(index))
    return op.on_first(module)


def _layer_norm(op: Operator) -> Step:
    axis = int(op.attributes.get("axis", -1)) % len(op.shapes[0])
    scale, bias = op.given(1), op.constant(2)
    module = nn.LayerNorm(op.shapes[0][axis:], eps=op.number("epsilon", 1e-5))
    module.weight.data = torch.tensor(scale)
    module.bias.data = torch.zeros_like(module.weight) if bias is None else torch.tensor(bias)
    return op.on_first(module)


def _instance_norm(op: Operator) -> Step:
    module = nn.InstanceNorm2d(op.shapes[0][1], eps=op.number("epsilon", 1e-5), affine=True)
    module.weight.data, module.bias.data = torch.tensor(op.given(1)), torch.tensor(op.given(2))
    return op.on_first(module)


def _reduce(op: Operator) -> Step:
    functions = {"ReduceMean": torch.mean, "ReduceSum": torch.sum, "ReduceMax": torch.amax, "ReduceMin": torch.amin}
    axes = op.integers("axes", 1) or list(range(len(op.shapes[0])))
    kept = bool(op.attributes.get("keepdims", 1))
    return functions[op.kind], op.arguments[:1], {"dim": axes, "keepdim": kept}


def _arg_max(op: Operator) -> Step:
    kept = bool(op.attributes.get("keepdims", 1))
    return torch.argmax, op.arguments[:1], {"dim": int(op.attributes.get("axis", 0)), "keepdim": kept}


def _identity(op: Operator) -> Step:
    return op.on_first(nn.Identity())


_SIMPLE: dict[str, Callable[[], nn.Module]] = {
    "Relu": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "HardSwish": nn.Hardswish,
    "Mish": nn.Mish,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
    "GlobalAveragePool": lambda: nn.AdaptiveAvgPool2d(1),
    "GlobalMaxPool": lambda: nn.AdaptiveMaxPool2d(1),
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Erf": torch.erf,
    "Neg": torch.neg,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Reciprocal": torch.reciprocal,
}

_ARITHMETIC: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "Add": (torch.add, operator.add),
    "Div": (torch.div, operator.truediv),
    "Mul": (torch.mul, operator.mul),
    "Pow": (torch.pow, operator.pow),
    "Sub": (torch.sub, operator.sub),
}
"""For two tensors, and for a number first, which PyTorch's functions do not take."""

_CONVERTED: dict[str, Callable[[Operator], Step]] = {
    **onnx_shapes.CONVERTED,
    **onnx_windows.CONVERTED,
    "ArgMax": _arg_max,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Dropout": _identity,
    "Elu": _elu,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _identity,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "Max": _extremum,
    "Min": _extremum,
    "PRelu": _prelu,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceSum": _reduce,
    "Softmax": _softmax,
}
