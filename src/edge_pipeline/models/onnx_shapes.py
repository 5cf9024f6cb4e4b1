"""ONNX operators that move, pick, pad or resize values."""

import operator
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from edge_pipeline.models.onnx_step import Operator, Step, UnsupportedError


def _reshape(op: Operator) -> Step:
    """Reshape to the known shape; a leading 1 is the batch, which may be larger in calibration."""
    before, after = op.shapes[0], op.output_shapes[0]
    if len(after) == 2 and before[:1] == (1,) and after[0] == 1:
        return op.on_first(nn.Flatten())
    shape = (-1, *after[1:]) if before[:1] == (1,) and after[:1] == (1,) else after
    return torch.reshape, (op.arguments[0], shape), {}


def _transpose(op: Operator) -> Step:
    order = op.attributes.get("perm", list(reversed(range(len(op.shapes[0])))))
    return torch.permute, (op.arguments[0], tuple(int(axis) for axis in order)), {}


def _concat(op: Operator) -> Step:
    if any(isinstance(part, int | float) for part in op.arguments):
        raise UnsupportedError("it joins a single number to a tensor")
    return torch.cat, (list(op.arguments), int(op.attributes["axis"])), {}


def _split(op: Operator) -> Step:
    axis = int(op.attributes.get("axis", 0))
    return torch.split, (op.arguments[0], [shape[axis] for shape in op.output_shapes], axis), {}


def _slice(op: Operator) -> Step:
    starts, ends = op.integers("starts", 1) or [], op.integers("ends", 2) or []
    axes = op.integers("axes", 3) or list(range(len(starts)))
    steps = op.integers("steps", 4) or [1] * len(starts)
    if min(steps, default=1) < 1:
        raise UnsupportedError("it runs backwards")
    rank = len(op.shapes[0])
    picked = [slice(None)] * rank
    for axis, start, end, stride in zip(axes, starts, ends, steps, strict=True):
        picked[axis % rank] = slice(*slice(start, end, stride).indices(op.shapes[0][axis]))
        if axis % rank == 0 and picked[0] == slice(0, 1, 1):
            picked[0] = slice(None)
    return operator.getitem, (op.arguments[0], tuple(picked)), {}


def _gather(op: Operator) -> Step:
    index, axis = op.given(1), int(op.attributes.get("axis", 0))
    size = op.shapes[0][axis]
    if index.ndim == 0:
        return torch.select, (op.arguments[0], axis, int(index) % size), {}
    if index.ndim > 1:
        raise UnsupportedError("its indices have more than one axis")
    return torch.index_select, (op.arguments[0], axis, torch.tensor(index.astype(np.int64) % size)), {}


def _pad(op: Operator) -> Step:
    pads, value = op.integers("pads", 1) or [], op.limit("value", 2) or 0.0
    axes = op.integers("axes", 3)
    rank = len(op.shapes[0])
    begin, end = [0] * rank, [0] * rank
    for position, axis in enumerate(axes if axes is not None else range(rank)):
        begin[axis % rank], end[axis % rank] = pads[position], pads[position + len(pads) // 2]
    said = op.text("mode", "constant")
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(said)
    if mode is None:
        raise UnsupportedError(f"its mode is '{said}'")
    used = [axis for axis in range(rank) if begin[axis] or end[axis]]
    flat = [pad for axis in reversed(range(min(used, default=rank), rank)) for pad in (begin[axis], end[axis])]
    if mode == "constant":
        return F.pad, (op.arguments[0], flat), {"value": value}
    return F.pad, (op.arguments[0], flat + [0] * (2 * (rank - 2) - len(flat))), {"mode": mode}


def _resize(op: Operator) -> Step:
    place = op.text("coordinate_transformation_mode", "asymmetric" if op.kind == "Upsample" else "half_pixel")
    mode = op.text("mode", "nearest")
    if op.shapes[0][:2] != op.output_shapes[0][:2] or len(op.shapes[0]) != 4:
        raise UnsupportedError("it resizes other axes than height and width")
    if mode == "nearest":
        return F.interpolate, op.arguments[:1], {"size": op.output_shapes[0][2:], "mode": "nearest"}
    if place not in ("half_pixel", "pytorch_half_pixel", "align_corners") or mode not in ("linear", "cubic"):
        raise UnsupportedError(f"its mode is '{mode}' with coordinates '{place}'")
    options = {"mode": "bilinear" if mode == "linear" else "bicubic", "align_corners": place == "align_corners"}
    return F.interpolate, op.arguments[:1], {"size": op.output_shapes[0][2:], **options}


def _depth_to_space(op: Operator) -> Step:
    block = int(op.attributes["blocksize"])
    if op.text("mode", "DCR") != "CRD":
        raise UnsupportedError("its mode is 'DCR', only 'CRD' can be converted")
    return op.on_first(nn.PixelShuffle(block))


def _expand(op: Operator) -> Step:
    before, after = op.shapes[0], op.output_shapes[0]
    keep = len(before) == len(after) and after[:1] == (1,)
    return torch.Tensor.expand, (op.arguments[0], (-1, *after[1:]) if keep else after), {}


CONVERTED: dict[str, Callable[[Operator], Step]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
    "Upsample": _resize,
}
