"""Integer layers are exact: on processors whose fast kernels overflow, others are asked for."""

from pathlib import Path

import onnxruntime as ort
import pytest

from edge_pipeline.runtimes import onnx_session

KEY = "session.x64quantprecision"


def asked(monkeypatch: pytest.MonkeyPatch, machine: str, cpuinfo: str | None) -> bool:
    """Return whether a session on such a machine is told to take other kernels."""

    def read_text(self: Path, **_: str) -> str:
        if cpuinfo is None:
            raise FileNotFoundError(self)
        return cpuinfo

    monkeypatch.setattr(onnx_session.platform, "machine", lambda: machine)
    monkeypatch.setattr(onnx_session.Path, "read_text", read_text)
    onnx_session._overflows.cache_clear()
    options = ort.SessionOptions()
    try:
        onnx_session.int8_options(options)
        return options.get_session_config_entry(KEY) == "1"
    except RuntimeError:
        return False
    finally:
        onnx_session._overflows.cache_clear()


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "flags : fpu avx2 avx512_vnni", False),
        ("x86_64", "flags : fpu avx2 avx_vnni", False),
        ("x86_64", "flags : fpu avx2", True),
        ("x86_64", None, True),
        ("aarch64", "Features : asimd", False),
    ],
)
def test_other_kernels_are_taken_where_the_fast_ones_overflow(
    monkeypatch: pytest.MonkeyPatch, machine: str, cpuinfo: str | None, expected: bool
) -> None:
    assert asked(monkeypatch, machine, cpuinfo) is expected
