"""Einsum of two tensors as a matrix product."""

from math import prod

import onnx_ir as ir

from edge_pipeline.runtimes.passes.graph import Writer, static


def as_matmul(out: Writer, node: ir.Node) -> ir.Value | None:
    """Return Transpose, Reshape, MatMul, Reshape, Transpose for an Einsum; `None` for a form that this cannot express.

    Letters of both inputs and the output number the matrices, letters of both inputs alone are summed over, the others
    are rows (first input) and columns (second input). Not expressed are `...`, a letter twice in one input, a letter of
    one input that is not in the output, and other than two inputs.
    """
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    left, _, result = equation.partition("->")
    terms, first, second = left.split(","), *(static(value) for value in [*node.inputs, None][:2])
    if "." in equation or "->" not in equation or len(terms) != 2 or first is None or second is None:
        return None
    a, b = terms
    if any(len(set(term)) != len(term) for term in (a, b, result)):
        return None
    sizes = dict(zip(a, first, strict=True))
    if any(sizes.setdefault(letter, size) != size for letter, size in zip(b, second, strict=True)):
        return None
    matrices = [letter for letter in result if letter in a and letter in b]
    summed = [letter for letter in a if letter in b and letter not in result]
    rows = [letter for letter in result if letter in a and letter not in b]
    columns = [letter for letter in result if letter in b and letter not in a]
    if set(a) - {*matrices, *summed, *rows} or set(b) - {*matrices, *summed, *columns}:
        return None
    grouped = (rows, summed, columns)
    flat = any(len(letters) != 1 for letters in grouped)

    def arranged(value: ir.Value | None, term: str, *groups: list[str]) -> ir.Value | None:
        order = [*matrices, *groups[0], *groups[1]]
        perm = [term.index(letter) for letter in order]
        moved = value if perm == sorted(perm) else out.op("Transpose", value, perm=perm)
        if not flat:
            return moved
        shape = [*(sizes[one] for one in matrices), *(prod(sizes[one] for one in group) for group in groups)]
        return out.op("Reshape", moved, out.constant(shape, "matrix"))

    made = out.op("MatMul", arranged(node.inputs[0], a, rows, summed), arranged(node.inputs[1], b, summed, columns))
    order = [*matrices, *rows, *columns]
    if flat:
        made = out.op("Reshape", made, out.constant([sizes[letter] for letter in order], "tensor"))
    perm = [order.index(letter) for letter in result]
    return made if perm == sorted(perm) else out.op("Transpose", made, perm=perm)
