"""ONNX operators with a sliding window, convolutions and pooling, as PyTorch modules."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from edge_pipeline.models.onnx_step import Operator, Step, UnsupportedError

Makers = dict[int, Callable[..., Any]]
"""Classes by their number of spatial axes."""


def _convolution(op: Operator) -> Step:
    """Convolve; a padding that is not symmetric becomes a module before it."""
    weight, bias = op.given(1), op.constant(2)
    kernel, stride, dilation = _window(op, weight.shape[2:])
    begin, end = _pads(op, kernel, stride, dilation)
    makers: Makers = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    module = _maker(makers, kernel)(
        op.shapes[0][1],
        weight.shape[0],
        kernel,
        stride,
        begin if begin == end else 0,
        dilation,
        int(op.attributes.get("group", 1)),
        bias=bias is not None,
    )
    _fill(module, weight, bias)
    return op.on_first(module if begin == end else nn.Sequential(_padding(begin, end), module))


def _transposed_convolution(op: Operator) -> Step:
    """Convolve the other way; the output padding follows from the output's shape."""
    weight, bias = op.given(1), op.constant(2)
    kernel, stride, dilation = _window(op, weight.shape[2:])
    begin, end = _pads(op, kernel, stride, dilation)
    sizes = zip(op.shapes[0][2:], op.output_shapes[0][2:], kernel, stride, dilation, begin, strict=True)
    extra = [after - ((before - 1) * s - 2 * p + d * (k - 1) + 1) for before, after, k, s, d, p in sizes]
    if min(extra) < 0 or any(more >= max(s, d) for more, s, d in zip(extra, stride, dilation, strict=True)):
        raise UnsupportedError(f"its padding of {begin} before and {end} after cannot be expressed")
    groups = int(op.attributes.get("group", 1))
    makers: Makers = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
    module = _maker(makers, kernel)(
        op.shapes[0][1], weight.shape[1] * groups, kernel, stride, begin, extra, groups, bias is not None, dilation
    )
    _fill(module, weight, bias)
    return op.on_first(module)


def _max_pool(op: Operator) -> Step:
    """Pool; a padding at the end only is expressed by rounding the output size up."""
    kernel, stride, dilation = _window(op, op.attributes["kernel_shape"])
    begin, end = _pads(op, kernel, stride, dilation)
    makers: Makers = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
    ceil = bool(op.attributes.get("ceil_mode", 0)) or begin != end
    return op.on_first(_maker(makers, kernel)(kernel, stride, begin, dilation, ceil_mode=ceil))


def _average_pool(op: Operator) -> Step:
    kernel, stride, dilation = _window(op, op.attributes["kernel_shape"])
    begin, end = _pads(op, kernel, stride, dilation)
    counted = bool(op.attributes.get("count_include_pad", 0))
    ceil = bool(op.attributes.get("ceil_mode", 0)) or (begin != end and not counted)
    makers: Makers = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
    outside = begin if begin == end or not counted else [0] * len(kernel)
    module = _maker(makers, kernel)(kernel, stride, outside, ceil_mode=ceil, count_include_pad=counted)
    return op.on_first(module if outside == begin else nn.Sequential(_padding(begin, end), module))


def _window(op: Operator, kernel: Any) -> tuple[list[int], list[int], list[int]]:
    """Return kernel size, stride and dilation."""
    sizes = [int(size) for size in kernel]
    ones = [1] * len(sizes)
    return sizes, list(op.attributes.get("strides", ones)), list(op.attributes.get("dilations", ones))


def _pads(op: Operator, kernel: list[int], stride: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    """Return the padding before and after each axis."""
    automatic, axes = op.text("auto_pad", "NOTSET"), len(kernel)
    if automatic == "NOTSET":
        pads = list(op.attributes.get("pads", [0] * (2 * axes)))
        return pads[:axes], pads[axes:]
    if automatic == "VALID":
        return [0] * axes, [0] * axes
    totals = [
        max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        for size, k, s, d in zip(op.shapes[0][2:], kernel, stride, dilation, strict=True)
    ]
    smaller, larger = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (smaller, larger) if automatic == "SAME_UPPER" else (larger, smaller)


def _padding(begin: list[int], end: list[int]) -> nn.Module:
    flat = [pad for low, high in zip(reversed(begin), reversed(end), strict=True) for pad in (low, high)]
    makers: Makers = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}
    module: nn.Module = _maker(makers, begin)(tuple(flat), 0.0)
    return module


def _maker(makers: Makers, sizes: list[int]) -> Callable[..., Any]:
    if len(sizes) not in makers:
        raise UnsupportedError(f"it has {len(sizes)} spatial axes")
    return makers[len(sizes)]


def _fill(module: Any, weight: Any, bias: Any) -> None:
    module.weight.data = torch.tensor(weight)
    if bias is not None:
        module.bias.data = torch.tensor(bias)


CONVERTED: dict[str, Callable[[Operator], Step]] = {
    "AveragePool": _average_pool,
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MaxPool": _max_pool,
}
