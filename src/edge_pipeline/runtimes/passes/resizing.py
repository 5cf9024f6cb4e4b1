"""Resize in a form that the Hexagon NPU computes as ONNX defines it."""

from math import ceil, floor

import numpy as np
import onnx_ir as ir

from edge_pipeline.runtimes.passes.base import LEFT
from edge_pipeline.runtimes.passes.graph import Writer, constant, label, maker, stand_in, static

TRUSTED = {("half_pixel", "round_prefer_floor"), ("asymmetric", "floor")}
"""Nearest-neighbour modes that the NPU computes right. Of half_pixel with ceil and pytorch_half_pixel with floor the
compiler makes other pixels without a word (SQNR -1.6 dB at a factor of 2, onnxruntime-qnn 2.7); it refuses asymmetric
with ceil and half_pixel_symmetric."""


def simplify(model: ir.Model) -> list[str]:
    """Turn nearest-neighbour Resizes into a trusted mode that picks the same pixels, or else into Gathers.

    half_pixel_symmetric becomes half_pixel where the sizes make them equal. Any other mode that the NPU lacks is left,
    as is what would need Gathers in a QDQ model: two in a row on integers came out wrong on the NPU too (v68).
    """
    lines = []
    for node in list(model.graph):
        shape, size = static(node.inputs[0] if node.inputs else None), static(node.outputs[0])
        if node.op_type != "Resize" or shape is None or size is None or len(shape) != len(size):
            continue
        mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        kind = node.attributes.get_string("mode", "nearest")
        symmetric = mode == "half_pixel_symmetric"
        if symmetric and _exact(node, shape, size):
            node.attributes["coordinate_transformation_mode"] = ir.AttrString(
                "coordinate_transformation_mode", "half_pixel"
            )
            lines.append(f"Resize {label(node)}: half_pixel_symmetric -> half_pixel")
            mode = "half_pixel"
        rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
        if kind == "nearest" and (mode, rounding) not in TRUSTED:
            lines.append(_nearest(model, node, mode, rounding))
        elif mode in ("half_pixel_symmetric", "tf_crop_and_resize"):
            lines.append(f"{LEFT}Resize {label(node)}: the NPU has no {mode}")
    return lines


def _exact(node: ir.Node, shape: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Tell whether scales times sizes are whole numbers, so that half_pixel_symmetric has nothing to correct."""
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    return scales is None or scales.size == 0 or bool(np.all(scales * np.asarray(shape) == np.asarray(size)))


def _nearest(model: ir.Model, node: ir.Node, mode: str, rounding: str) -> str:
    shape, size = static(node.inputs[0]) or (), static(node.outputs[0]) or ()
    if mode == "tf_crop_and_resize" or not _exact(node, shape, size) or "axes" in node.attributes:
        return f"{LEFT}Resize {label(node)}: the NPU may pick other pixels with {mode} and {rounding}"
    picked = [_pixels(n, m, mode, rounding) for n, m in zip(shape, size, strict=True)]
    if all(m % n == 0 and one == [i * n // m for i in range(m)] for one, n, m in zip(picked, shape, size, strict=True)):
        for name, value in (("coordinate_transformation_mode", "asymmetric"), ("nearest_mode", "floor")):
            node.attributes[name] = ir.AttrString(name, value)
        return f"Resize {label(node)}: {mode}, {rounding} -> asymmetric, floor"
    if maker(node.inputs[0], "DequantizeLinear") is not None:
        return f"{LEFT}Resize {label(node)}: the NPU picks other pixels with {mode} and {rounding}"
    out, made = Writer(model, node), node.inputs[0]
    for axis, pixels in enumerate(picked):
        if pixels != list(range(shape[axis])):
            made = out.op("Gather", made, out.constant(pixels, "pixels"), axis=axis)
    if made is None or not stand_in(node.outputs[0], made):
        return f"{LEFT}Resize {label(node)}: it does nothing"
    model.graph.remove(node, safe=True)
    return f"Resize {label(node)}: {mode}, {rounding} -> Gather of the same pixels"


def _pixels(given: int, wanted: int, mode: str, rounding: str) -> list[int]:
    """Return the index that each place of one axis takes its number from (ONNX, operator Resize)."""
    scale = wanted / given

    def position(i: int) -> float:
        if mode == "asymmetric":
            return i / scale
        if mode == "align_corners":
            return i * (given - 1) / (wanted - 1) if wanted > 1 else 0.0
        if mode == "pytorch_half_pixel" and wanted == 1:
            return 0.0
        return (i + 0.5) / scale - 0.5

    rounded = {
        "floor": floor,
        "ceil": ceil,
        "round_prefer_floor": lambda x: ceil(x - 0.5),
        "round_prefer_ceil": lambda x: floor(x + 0.5),
    }[rounding]
    return [min(max(rounded(position(i)), 0), given - 1) for i in range(wanted)]
