"""The agent as one file that a board's Python runs: the very modules that run on this machine."""

import functools
import io
import zipfile
from pathlib import Path

import edge_pipeline

MODULES = (
    "core/__init__.py",
    "core/child.py",
    "devices/__init__.py",
    "devices/agent/*.py",
    "runtimes/__init__.py",
    "runtimes/session.py",
    "runtimes/providers.py",
    "runtimes/onnx_session.py",
    "runtimes/litert_session.py",
    "runtimes/litert_profiler.py",
    "runtimes/qnn_engine.py",
    "runtimes/qnn_session.py",
)
"""What the agent needs, besides the standard library, NumPy and a runtime."""

_MAIN = "import runpy\nrunpy.run_module('edge_pipeline.devices.agent', run_name='__main__', alter_sys=False)\n"


@functools.cache
def bundle() -> bytes:
    """Return a zip file for `python FILE REQUEST`; equal modules give equal bytes."""
    package = Path(edge_pipeline.__file__).parent
    paths = [path for pattern in MODULES for path in sorted(package.glob(pattern))]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, text: str) -> None:
            archive.writestr(zipfile.ZipInfo(name), text)

        add("__main__.py", _MAIN)
        add("edge_pipeline/__init__.py", "")
        for path in paths:
            add(f"edge_pipeline/{path.relative_to(package).as_posix()}", path.read_text(encoding="utf-8"))
    return buffer.getvalue()
