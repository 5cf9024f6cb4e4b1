"""LiteRT's own operator profiler, which only its C interface offers: `libLiteRt.so` of the ai-edge-litert wheel.

Source of the calls and constants: the headers `litert/c/*.h` and `litert/c/options/*.h` of LiteRT. The compiled model
runs on the same XNNPACK kernels as the interpreter that is timed.
"""

import ctypes
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_pipeline.runtimes.session import Tensor

_CPU, _WRITE = 1, 1
_BUILTIN = 2
"""The mode of the CPU in which no delegate is used."""
_WARMUP = 5
_ROW = re.compile(r"^\s*(\S.*?)(?:\s+[\d.]+){2}\s+([\d.]+)(?:\s+[\d.]+%){2}\s+[\d.]+\s+\d+\s+(\S+)\s*$")
"""A row of the profiler's table: type, start and first, mean in ms, two shares, memory, number of calls, name."""


class ProfilerError(Exception):
    """LiteRT refused a call; the message names it."""


def operator_times(
    model: Path, inputs: Sequence[Tensor], *, threads: int, runs: int, xnnpack: bool = True
) -> list[dict[str, Any]]:
    """Return type and mean time (ms) of each operator, in the order they run.

    The profiler counts whole microseconds, so an operator that takes less than one may show 0.

    Args:
        model: a .tflite file.
        inputs: one sample, in the model's own element types.
        threads: of the engine.
        runs: number of profiled runs.
        xnnpack: whether XNNPACK does what it can, as by default, or LiteRT's own kernels all.

    Raises:
        ProfilerError: LiteRT cannot compile or run the model.
    """
    import ai_edge_litert

    api = _Api(Path(ai_edge_litert.__file__).with_name("libLiteRt.so"))
    environment = api.create("LiteRtCreateEnvironment", 0, None)
    graph = api.create("LiteRtCreateModelFromFile", environment, str(model).encode())
    options = api.create("LiteRtCreateOptions")
    api.call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
    api.add_option(options, b"runtime_options_string", b"enable_profiling = true\n")
    kernels = b"" if xnnpack else b"kernel_mode = %d\n" % _BUILTIN
    api.add_option(options, b"xnnpack", b"num_threads = %d\n%b" % (threads, kernels))
    compiled = api.create("LiteRtCreateCompiledModel", environment, graph, options)
    subgraph = api.create("LiteRtGetModelSubgraph", graph, ctypes.c_size_t(0))
    feeds, results = (api.buffers(side, environment, compiled, subgraph) for side in ("Input", "Output"))
    for buffer, value in zip(feeds, inputs, strict=True):
        api.fill(buffer, value)
    sides = [part for side in (feeds, results) for part in (ctypes.c_size_t(len(side)), _array(side))]
    run = functools.partial(api.call, "LiteRtRunCompiledModel", compiled, ctypes.c_size_t(0), *sides)
    for _ in range(_WARMUP):
        run()
    profiler = api.create("LiteRtCompiledModelGetProfiler", compiled)
    api.call("LiteRtStartProfiler", profiler)
    for _ in range(runs):
        run()
    api.call("LiteRtStopProfiler", profiler)
    summary = ctypes.c_char_p()
    api.call("LiteRtGetProfileSummary", profiler, compiled, ctypes.byref(summary))
    return parse_summary((summary.value or b"").decode(errors="replace"))


def parse_summary(text: str) -> list[dict[str, Any]]:
    """Return the operators of the profiler's tables titled `Run Order`.

    The row of a delegate as a whole is left out where its operators are listed.
    """
    found: list[dict[str, Any]] = []
    inside = False
    for line in text.splitlines():
        if "=====" in line:
            inside = "Run Order" in line
        row = _ROW.match(line) if inside else None
        if row:
            kind, mean, name = row.groups()
            delegated = kind.startswith("Delegate/")
            number = sum(one["name"].startswith("XNNPACK:") for one in found)
            found.append(
                {
                    "name": f"XNNPACK:{number}" if delegated else name,
                    "type": kind.removeprefix("Delegate/"),
                    "compute_unit": "cpu",
                    "time_ms": float(mean),
                }
            )
    if any(one["name"].startswith("XNNPACK") for one in found):
        found = [one for one in found if one["type"] != "TfLiteXNNPackDelegate"]
    return found


class _Api:
    """Calls into the library; every function returns a status, 0 for success."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._c = ctypes.CDLL(None)
        self._c.strdup.restype = ctypes.c_void_p
        self._free = ctypes.cast(self._c.free, ctypes.c_void_p)

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise ProfilerError(f"{name} failed with status {status}")

    def create(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument is where it puts a handle."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        if not handle:
            raise ProfilerError(f"{name} returned nothing")
        return handle

    def add_option(self, options: ctypes.c_void_p, group: bytes, toml: bytes) -> None:
        """Add options as TOML text, which the library frees."""
        text = ctypes.c_void_p(self._c.strdup(toml))
        self.call("LiteRtAddOpaqueOptions", options, self.create("LiteRtCreateOpaqueOptions", group, text, self._free))

    def buffers(
        self, side: str, environment: ctypes.c_void_p, compiled: ctypes.c_void_p, subgraph: ctypes.c_void_p
    ) -> list[ctypes.c_void_p]:
        """Return a buffer for each input or output of the main subgraph."""
        count = ctypes.c_size_t()
        self.call(f"LiteRtGetNumSubgraph{side}s", subgraph, ctypes.byref(count))
        made = []
        for index in map(ctypes.c_size_t, range(count.value)):
            tensor = self.create(f"LiteRtGetSubgraph{side}", subgraph, index)
            kind = (ctypes.c_uint8 * 256)()
            self.call("LiteRtGetRankedTensorType", tensor, kind)
            needs = self.create(f"LiteRtGetCompiledModel{side}BufferRequirements", compiled, ctypes.c_size_t(0), index)
            made.append(self.create("LiteRtCreateManagedTensorBufferFromRequirements", environment, kind, needs))
        return made

    def fill(self, buffer: ctypes.c_void_p, value: Tensor) -> None:
        """Copy `value` into `buffer`."""
        size = ctypes.c_size_t()
        self.call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != value.nbytes:
            raise ProfilerError(f"an input has {value.nbytes} bytes, the model takes {size.value}")
        address = ctypes.c_void_p()
        self.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), _WRITE)
        ctypes.memmove(address, value.ctypes.data, value.nbytes)
        self.call("LiteRtUnlockTensorBuffer", buffer)


def _array(handles: Sequence[ctypes.c_void_p]) -> Any:
    return (ctypes.c_void_p * len(handles))(*(handle.value for handle in handles))
