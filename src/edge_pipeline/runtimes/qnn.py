"""Qualcomm AI Engine Direct (QNN): compile an exported model for the NPU of a named chip, without a network.

Qualcomm's HTP compiler is part of the package `onnxruntime-qnn`. It runs in a process of its own: it may crash, hang or
take all memory.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from edge_pipeline.core.child import ChildError, run_child
from edge_pipeline.core.errors import CompileError
from edge_pipeline.core.files import disk_errors, json_bytes
from edge_pipeline.core.progress import advance, listeners
from edge_pipeline.core.types import Artifact, Precision, RuntimeName, Target, TensorSpec
from edge_pipeline.runtimes import qnn_cache
from edge_pipeline.runtimes.base import CompileSettings, compiled, packages
from edge_pipeline.runtimes.chips import Chip
from edge_pipeline.runtimes.qnn_compile import INSERTED, NO_LAYERS

_UNSUPPORTED = re.compile(r"\{ name: (?P<name>.*?), type: (?P<type>\w+) \}")


def compile(exported: Artifact, target: Target, settings: CompileSettings) -> Artifact:
    """Return what the NPU of the device's chip loads.

    For `precompiled_qnn_onnx` that is an ONNX file whose operators are compiled contexts, with their binary; operators
    that the NPU lacks stay in the ONNX file and run on the CPU. For `qnn_context_binary` it is the binary alone, with
    `tensors.json` that names its inputs and outputs; all operators must be on the NPU. `details["placement"]` says
    where each layer runs.

    Raises:
        CompileError: the package is missing, the chip cannot run the model, or the compiler refused it, crashed, or
            needed more time or memory than it may.
    """
    tools = packages(target.runtime)
    chip = settings.chip
    if chip is None:
        raise CompileError(f"{target.name}: the device has no `chip` in devices.yml, so there is no NPU to compile for")
    _check(exported, target, chip)
    options = settings.qnn
    provider = {"soc_model": str(chip.soc_model), **options.for_provider()}
    key = qnn_cache.key(exported.files["model.onnx"], provider, tools)
    files = qnn_cache.read(settings.cache, key) if settings.cache else None
    if files is None:
        files = _compiled_files(exported.files["model.onnx"], provider, target, settings)
        if settings.cache:
            qnn_cache.write(settings.cache, key, files)
    report = json.loads(files.pop("report.json"))
    details: dict[str, Any] = {
        "chip": chip.name,
        "soc_model": chip.soc_model,
        "hexagon": chip.hexagon,
        "options": options.model_dump(),
        "layers": report["layers"],
        "compile_s": report["seconds"],
        "qairt": report["qairt"],
        **({"note": chip.note} if chip.note else {}),
    }
    if target.runtime is RuntimeName.PRECOMPILED_QNN_ONNX:
        return compiled(exported, target, "model.onnx", files, tools, **details)
    on_cpu = [layer for layer in report["layers"] if layer["compute_unit"] == "cpu"]
    contexts = report["contexts"]
    if on_cpu or len(contexts) != 1:
        raise CompileError(f"{target.name}: {_not_alone(on_cpu, len(contexts))}")
    context = {side: _in_order(contexts[0][side], getattr(exported, side)) for side in ("inputs", "outputs")}
    context["partition"] = contexts[0]["partition"]
    files = {"model.bin": files[contexts[0]["binary"]], "tensors.json": json_bytes(context)}
    return compiled(exported, target, "model.bin", files, tools, **details)


def _in_order(tensors: list[dict[str, Any]], specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    """Return the tensors of a context in the order of the network's."""
    return [next(one for one in tensors if one["tensor"] == spec.name) for spec in specs]


def check_packages() -> None:
    """Load the plugin of ONNX Runtime that holds compiler and emulator, in a process of its own.

    Raises:
        CompileError: it is not installed, or does not fit the installed ONNX Runtime.
    """
    found = packages(RuntimeName.QNN_CONTEXT_BINARY)
    try:
        run_child("edge_pipeline.runtimes.qnn_engine", [], time_limit_s=60)
    except ChildError as error:
        installed = ", ".join(f"{name} {version}" for name, version in found.items())
        raise CompileError(
            f"{installed} do not work together here: {str(error)[-300:]}. Install the versions that constraints.txt "
            "names, `pip install -c constraints.txt 'edge-pipeline[qnn]'`, or remove the NPU runtimes from the targets."
        ) from error


def _check(exported: Artifact, target: Target, chip: Chip) -> None:
    if target.precision is Precision.FLOAT16 and not chip.float16:
        raise CompileError(
            f"{target.name}: the NPU of {chip.name} (Hexagon {chip.hexagon}) does not compute in float16; quantize the "
            "model, w8a8 or w8a16"
        )
    import onnx

    try:
        graph = onnx.load_from_string(exported.files["model.onnx"]).graph
    except Exception as error:
        raise CompileError(f"{target.name}: the exported ONNX file cannot be read: {str(error)[:200]}") from error
    for tensor in graph.input:
        shape = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in tensor.type.tensor_type.shape.dim]
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise CompileError(
                f"{target.name}: the input '{tensor.name}' has the dynamic shape {shape}; the NPU needs fixed sizes"
            )


def _compiled_files(
    model: bytes, provider: dict[str, str], target: Target, settings: CompileSettings
) -> dict[str, bytes]:
    step = f"{target.name}: compile"
    for listener in listeners:
        listener.started(step, 1)
    try:
        with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as made:
            source, request = Path(name) / "exported.onnx", Path(name) / "request.json"
            with disk_errors(source):
                source.write_bytes(model)
                request.write_text(json.dumps({"model": str(source), "provider": provider, "folder": made}))
            output = run_child(
                "edge_pipeline.runtimes.qnn_compile",
                [str(request)],
                time_limit_s=settings.time_limit_s,
                memory_limit_mb=settings.memory_limit_mb,
                tick=lambda seconds: advance(step, 0, f"{seconds:.0f} s"),
            )
            found = {path.name: path.read_bytes() for path in Path(made).iterdir()}
    except ChildError as error:
        raise CompileError(f"{target.name}: {_explain(error, target, settings)}") from error
    finally:
        for listener in listeners:
            listener.ended(step)
    if "model.onnx" not in found:
        raise CompileError(f"{target.name}: the NPU takes no layer of this model. {_refused(output)}".rstrip())
    return found


def _explain(error: ChildError, target: Target, settings: CompileSettings) -> str:
    """Return why the compiler failed and what helps."""
    refused = _refused(error.output)
    if "time limit" in str(error):
        return f"the QNN compiler failed; {error}. Raise `compile.time_limit_s`. {refused}".rstrip()
    if "more memory" in str(error):
        return f"the QNN compiler failed; {str(error)[:200]}. Raise `compile.memory_limit_mb`. {refused}".rstrip()
    if refused:
        return f"{refused} The NPU of {settings.chip.name if settings.chip else '?'} cannot run it so; " + (
            "float models need float16, which this chip lacks"
            if not target.precision.quantized
            else "leave the layer in float16 (`quantize.overrides`, v69 and newer), or take the runtime onnx"
        )
    return f"the QNN compiler failed; {error}"


def _refused(output: str) -> str:
    """Return the sentence that names the operators which the compiler said it does not take."""
    lines = [line for line in output.splitlines() if "Unsupported nodes" in line]
    nodes = [node for line in lines for node in _UNSUPPORTED.finditer(line)]
    found = [f"{INSERTED.sub('', node['name'])} ({node['type']})" for node in nodes]
    found = [one for one in dict.fromkeys(found) if not one.endswith(tuple(f"({kind})" for kind in NO_LAYERS))]
    if not found:
        return ""
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return f"The compiler does not take {', '.join(found[:8])}{more}."


def _not_alone(on_cpu: list[dict[str, str]], contexts: int) -> str:
    names = ", ".join(f"{layer['name']} ({layer['type']})" for layer in on_cpu[:8])
    why = f"the NPU does not take {names}" if on_cpu else f"the model fell into {contexts} parts"
    return (
        f"a context binary holds the whole network, but {why}; take the runtime precompiled_qnn_onnx, which leaves "
        "such layers to the CPU and says so, or change the network"
    )
