"""Slices that share out a tensor among them, as one Split."""

import onnx_ir as ir

from edge_pipeline.runtimes.passes.graph import Writer, constant, label, opset, stand_in, static

Part = tuple[int, int, ir.Node]


def join_slices(model: ir.Model) -> list[str]:
    """Replace Slices of one tensor that together make all of it, along one axis and without overlap, by one Split."""
    if opset(model) < 13:
        return []
    groups: dict[tuple[int, int], list[Part]] = {}
    for node in model.graph:
        found = _part(node) if node.op_type == "Slice" else None
        if found is not None:
            axis, start, stop = found
            groups.setdefault((id(node.inputs[0]), axis), []).append((start, stop, node))
    lines = []
    for (_, axis), parts in groups.items():
        order = {id(node): place for place, node in enumerate(model.graph)}
        first = min((node for _, _, node in parts), key=lambda node: order[id(node)])
        parts.sort(key=lambda part: part[:2])
        source = first.inputs[0]
        ends = [0, *(last for _, last, _ in parts)]
        whole = (static(source) or ())[axis]
        if len(parts) < 2 or ends[-1] != whole or [start for start, _, _ in parts] != ends[:-1]:
            continue
        if any(last <= start for start, last, _ in parts):
            continue
        out = Writer(model, first)
        sizes = out.constant([last - start for start, last, _ in parts], "sizes")
        made = out.several(len(parts), "Split", source, sizes, axis=axis)
        for value, (_, _, node) in zip(made, parts, strict=True):
            value.shape = node.outputs[0].shape
            stand_in(node.outputs[0], value)
            model.graph.remove(node, safe=True)
        lines.append(" + ".join(label(node) for _, _, node in parts) + " -> one Split")
    return lines


def _part(node: ir.Node) -> tuple[int, int, int] | None:
    """Return axis, first and last (exclusive) index of a Slice along one axis with step 1."""
    shape = static(node.inputs[0])
    values = [constant(value) for value in node.inputs[1:]]
    if shape is None or len(values) < 2 or any(one is None or one.size != 1 for one in values):
        return None
    start, end, axis, step = ([int(one.reshape(())) for one in values if one is not None] + [0, 1][len(values) - 2 :])[
        :4
    ]
    if step != 1:
        return None
    axis %= len(shape)
    size = shape[axis]
    start, end = (min(max(one + size if one < 0 else one, 0), size) for one in (start, end))
    return axis, start, end
