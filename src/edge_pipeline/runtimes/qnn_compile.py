"""`python -m edge_pipeline.runtimes.qnn_compile REQUEST`: compile one model for one chip in a process of its own.

REQUEST is a JSON file with `model` (an ONNX file), `provider` (options of the execution provider) and `folder`, where
these files are written: `model.onnx`, whose operators are compiled contexts, with their binaries beside it; and
`report.json` with `layers` (name, type and compute unit of each), `contexts` (each with its binary, inputs and
outputs), `qairt` (version of Qualcomm's SDK) and `seconds`.
"""

import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_pipeline.core.child import die_with_parent, memory_left_mb

NO_LAYERS = ("QuantizeLinear", "DequantizeLinear", "Constant")
"""Operators that only say how numbers are stored."""

INSERTED = re.compile(r"_token_\d+$")
"""What ONNX Runtime adds to the name of an operator whose layout it changes."""

RESERVED_MB = 400
"""Data that the compiler wants to reserve whatever the model; refused that, it just takes no layer."""


def main(request: dict[str, Any]) -> None:
    """Compile as `request` says."""
    import onnx

    folder = Path(request["folder"])
    model = onnx.load(request["model"])
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    source, result = folder / "source.onnx", folder / "model.onnx"
    onnx.save(model, source)
    entries = {
        "ep.context_enable": "1",
        "ep.context_file_path": str(result),
        "ep.context_embed_mode": "0",
        "session.record_ep_graph_assignment_info": "1",
    }
    started = time.monotonic()
    session = _opened(source, request["provider"], entries)
    seconds = time.monotonic() - started
    units = {
        INSERTED.sub("", node.name): "cpu" if group.ep_name == "CPUExecutionProvider" else "npu"
        for group in session.get_provider_graph_assignment_info()
        for node in group.get_nodes()
    }
    layers = [
        {"name": node.name, "type": node.op_type, "compute_unit": units[node.name]}
        for node in model.graph.node
        if node.op_type not in NO_LAYERS
    ]
    source.unlink()
    contexts = _contexts(onnx.load(result)) if result.exists() else []
    report = {
        "layers": layers,
        "contexts": contexts,
        "qairt": contexts[0]["qairt"] if contexts else "",
        "seconds": seconds,
    }
    (folder / "report.json").write_text(json.dumps(report))


def _opened(model: Path, provider: dict[str, str], entries: dict[str, str]) -> Any:
    """Compile; where that fails, say what it failed for."""
    from edge_pipeline.runtimes.qnn_engine import open_qnn

    try:
        return open_qnn(model, provider, entries, fallback=True)
    except Exception as error:
        if memory_left_mb() < RESERVED_MB:
            raise MemoryError(f"less than {RESERVED_MB} MB are left for the compiler") from error
        open_qnn(model, provider, entries, fallback=False)  # only without the CPU it names what the NPU does not take
        raise


def _contexts(model: Any) -> list[dict[str, Any]]:
    """Return binary, SDK version, inputs and outputs of each compiled context of a model.

    Several contexts share one binary. What they pass to operators on the CPU has no type in the file: it is left out.
    """
    import onnx

    graph = model.graph
    known = {one.name: one.type.tensor_type for one in (*graph.input, *graph.output, *graph.value_info)}
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}

    def described(names: Iterable[str], boundary: dict[str, tuple[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for name in names:
            if name not in known:
                continue
            kind = known[name]
            outer, node = boundary.get(name, (name, None))
            one = {
                "name": name,
                "tensor": outer,
                "dtype": onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name,
                "shape": [size.dim_value for size in kind.shape.dim],
            }
            if node is not None:
                one |= {"scale": float(constants[node.input[1]]), "zero_point": int(constants[node.input[2]])}
            found.append(one)
        return found

    entering = {n.output[0]: (n.input[0], n) for n in graph.node if n.op_type == "QuantizeLinear"}
    leaving = {n.input[0]: (n.output[0], n) for n in graph.node if n.op_type == "DequantizeLinear"}
    found = []
    for node in graph.node:
        if node.op_type == "EPContext":
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            found.append(
                {
                    "binary": attributes.get("ep_cache_context", b"").decode(),
                    "partition": attributes["partition_name"].decode(),
                    "qairt": attributes.get("ep_sdk_version", b"").decode(),
                    "inputs": described(node.input, entering),
                    "outputs": described(node.output, leaving),
                }
            )
    return found


if __name__ == "__main__":
    die_with_parent()
    main(json.loads(Path(sys.argv[1]).read_text()))
