"""Which engine computes: execution providers of ONNX Runtime and delegates of LiteRT, as this machine has them.

A choice is a mapping with `compute_unit` (`npu`, `gpu` or `cpu`), for ONNX Runtime `provider` and where needed
`library`, for LiteRT `delegate`, and `options` of it. An empty one is the CPU, as every machine has it. This runs on
boards: standard library, NumPy and the runtime only.
"""

import ctypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CPU, QNN = "CPUExecutionProvider", "QNNExecutionProvider"
BACKENDS = {"npu": "Htp", "gpu": "Gpu"}
"""The backend of QNN's provider for a compute unit."""

RECORD = ("session.record_ep_graph_assignment_info", "1")
"""The entry of a session's configuration that lets it remember which provider took which node."""

BOUNDARY = ("QuantizeLinear", "DequantizeLinear")
"""Nodes that tell a compiler of the numbers' formats: in what it makes of them they are no layers."""

NO_DELEGATE, XNNPACK = "none", "xnnpack"

_TOKEN = re.compile(r"_token_\d+$")
"""What ONNX Runtime adds to the name of a node that it changed."""


class EngineError(Exception):
    """The machine lacks the engine that was chosen, or the engine takes nothing of the model."""


def choice_of_provider(choice: Mapping[str, Any]) -> str:
    """Return the execution provider that was chosen."""
    return str(choice.get("provider", CPU))


def add_provider(options: Any, choice: Mapping[str, Any], more: Mapping[str, str]) -> list[Any]:
    """Put the chosen execution provider into the options of a session.

    Args:
        options: `SessionOptions`, changed where the provider is a plugin.
        choice: the engine.
        more: options of the provider on top of those chosen.

    Returns:
        The argument `providers` of the session; empty for a plugin, which stands in `options`.

    Raises:
        EngineError: this machine has no such provider, or that finds no device.
    """
    import onnxruntime as ort

    name = choice_of_provider(choice)
    settings = {**choice.get("options", {}), **more}
    library = _library(name, choice.get("library"))
    if name in ort.get_available_providers() and library is None:
        if name == QNN:
            settings = {"backend_path": f"libQnn{BACKENDS[choice['compute_unit']]}.so", **settings}
        return [(name, settings)]
    if library is None:
        raise EngineError(
            f"there is no {name} on this machine: its ONNX Runtime {ort.__version__} has {', '.join(providers())}; "
            "install one that has it, name the provider's library with `library`, or choose another one in `execution`"
        )
    devices = _devices(name, library)
    if name == QNN:
        settings = {"backend_path": _qnn_backend(choice["compute_unit"]), **settings}
    options.add_provider_for_devices(devices[:1], settings)
    return []


def providers() -> list[str]:
    """Return the execution providers of this machine's ONNX Runtime, that of the package onnxruntime-qnn among them."""
    import onnxruntime as ort

    found = [str(one) for one in ort.get_available_providers()]
    return found if QNN in found or _qnn_package() is None else [*found, QNN]


def assigned(session: Any) -> dict[str, list[tuple[str, str]]] | None:
    """Return name and type of the nodes that each provider took, of a session with `RECORD` among its entries.

    `None` where this ONNX Runtime does not tell.
    """
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    if tell is None:
        return None
    found: dict[str, list[tuple[str, str]]] = {}
    for part in tell():
        found.setdefault(part.ep_name, []).extend((plain_name(one.name), one.op_type) for one in part.get_nodes())
    return found


def check_taken(name: str, taken: Mapping[str, Sequence[Any]] | None, choice: Mapping[str, Any]) -> None:
    """Refuse a session that computes without the provider that was chosen: ONNX Runtime says nothing of it.

    Raises:
        EngineError: the provider took no node.
    """
    if name == CPU or not taken or taken.get(name):
        return
    raise EngineError(
        f"{name} takes none of the {sum(map(len, taken.values()))} nodes of the model on the {choice['compute_unit']}: "
        "its driver or device is not there, or it has no operator of this model in this number format. All would run "
        "on the CPU; choose that in `execution` if it is wanted"
    )


def load_delegate(choice: Mapping[str, Any]) -> Any:
    """Load the delegate's library that was chosen.

    Raises:
        EngineError: there is no such library, it is none of a delegate, or it does not work here.
    """
    from ai_edge_litert import interpreter

    library = str(choice["delegate"])
    if "/" in library and not Path(library).is_file():
        raise EngineError(f"the delegate {library} is not on this machine; without one it has xnnpack and none")
    try:
        if not hasattr(ctypes.CDLL(library), "tflite_plugin_create_delegate"):
            raise EngineError(f"{library} is no library of a LiteRT delegate: it has no tflite_plugin_create_delegate")
        return interpreter.load_delegate(library, dict(choice.get("options", {})))
    except (OSError, ValueError) as error:
        said = str(error).strip() or "it says nothing"
        raise EngineError(f"the delegate {library} cannot be loaded: {said[:400]}") from error


def replaced(operators: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Tell of each operator of a model whether a delegate does its work.

    Args:
        operators: as LiteRT's interpreter lists them: those of the model, then one `DELEGATE` for each part that was
            replaced, whose inputs and outputs are those of the part.
    """
    own = [one for one in operators if one["op_name"] != "DELEGATE"]
    producers = {int(tensor): index for index, one in enumerate(own) for tensor in one["outputs"]}
    found: set[int] = set()
    for part in operators:
        if part["op_name"] != "DELEGATE":
            continue
        outside, todo = {int(one) for one in part["inputs"]}, [int(one) for one in part["outputs"]]
        while todo:
            index = producers.get(todo.pop())
            if index is None or index in found:
                continue
            found.add(index)
            todo += [int(one) for one in own[index]["inputs"] if int(one) not in outside]
    return [index in found for index in range(len(own))]


def plain_name(name: str) -> str:
    """Return the name of a node without what ONNX Runtime added."""
    return _TOKEN.sub("", name)


def _library(name: str, library: str | None) -> str | None:
    """Return the library of a provider that is a plugin."""
    package = _qnn_package() if name == QNN and library is None else None
    return str(package.get_library_path()) if package else library


def _qnn_package() -> Any:
    try:
        import onnxruntime_qnn
    except ImportError:
        return None
    return onnxruntime_qnn


def _qnn_backend(unit: str) -> str:
    package = _qnn_package()
    if package is None:
        return f"libQnn{BACKENDS[unit]}.so"
    return str(package.get_qnn_htp_path() if unit == "npu" else package.get_qnn_gpu_path())


def _devices(name: str, library: str) -> list[Any]:
    """Register a plugin and return its devices."""
    import onnxruntime as ort

    if not any(one.ep_name == name for one in ort.get_ep_devices()):
        try:
            ort.register_execution_provider_library(name, library)
        except Exception as error:  # ONNX Runtime has many
            raise EngineError(f"{library} is no library of {name} that works here: {str(error)[:300]}") from error
    found = [one for one in ort.get_ep_devices() if one.ep_name == name]
    if not found:
        raise EngineError(f"{name} ({library}) finds no device on this machine; it has {', '.join(providers())}")
    return found
