"""Open ONNX Runtime sessions on Qualcomm's QNN HTP backend: its compiler, and on x86 its emulator.

One process may hold sessions for one chip only, so this is for child processes. `python -m` on this module ends with an
error if the installed packages do not fit together.
"""

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edge_pipeline.runtimes import providers

PROVIDER = providers.QNN


def open_qnn(
    model: Path,
    provider: Mapping[str, str],
    entries: Mapping[str, str] | None = None,
    *,
    fallback: bool,
) -> Any:
    """Return a session of `model` on the NPU backend.

    No optimisation of ONNX Runtime's own runs before: it moves operators out of the reach of their quantizers.

    Args:
        model: an ONNX file, or one with compiled contexts.
        provider: options of the execution provider, such as `soc_model`.
        entries: more entries of the session's configuration.
        fallback: whether operators that the NPU lacks may run on the CPU.

    Raises:
        EngineError: this machine's ONNX Runtime has no QNN, or that finds no NPU.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_cpu_ep_fallback", str(int(not fallback)))
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    listed = providers.add_provider(options, {"compute_unit": "npu", "provider": PROVIDER}, provider)
    session = ort.InferenceSession(str(model), options, **({"providers": listed} if listed else {}))
    session.disable_fallback()
    return session


def version() -> str:
    """Return the engine's name and version."""
    return f"onnxruntime-qnn {metadata.version('onnxruntime-qnn')}"


if __name__ == "__main__":
    from edge_pipeline.core.child import die_with_parent

    die_with_parent()
    import onnxruntime_qnn

    ort.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    if not any(device.ep_name == PROVIDER for device in ort.get_ep_devices()):
        raise SystemExit("onnxruntime-qnn lists no device on this machine")
