"""Read what LiteRT's program `benchmark_model` prints: statistics of its runs, no single times.

Its lines are written by `StatWithPercentiles::OutputToStream` (xla/tsl/util/stats_calculator.h) and by
`BenchmarkLoggingListener` (tflite/tools/benchmark/benchmark_model.cc of LiteRT, formerly tensorflow/lite/tools/), with
the prefixes of tools/logging.h. Older ones have no percentiles, no prefix, and the times in another order.
"""

import math
import re
from dataclasses import dataclass

from edge_pipeline.core.errors import DeviceError

_NUMBER = r"(\d{1,15}(?:\.\d{1,9})?(?:e\+\d{2})?)"
_BEGIN = r"^(?:INFO: )?"
_SPREAD = rf"first={_NUMBER} curr={_NUMBER} min={_NUMBER} max={_NUMBER} avg={_NUMBER} std=\S{{1,30}}"
_STATISTICS = re.compile(
    rf"{_BEGIN}count=(\d{{1,9}}) (?:{_SPREAD}|curr={_NUMBER}(?:\(all same\))?)"
    rf"(?: p5={_NUMBER} median={_NUMBER} p95={_NUMBER})?\s*$",
    re.MULTILINE | re.ASCII,
)
_INIT = re.compile(
    rf"{_BEGIN}(?:Inference timings in us: Init: {_NUMBER}, First inference: |"
    rf"Average inference timings in us: Warmup: \S{{1,20}}, Init: {_NUMBER}, (?:Inference|no stats): ){_NUMBER}",
    re.MULTILINE | re.ASCII,
)
_GROWN = re.compile(
    rf"{_BEGIN}Memory footprint delta from the start of the tool \(MB\): init=\S{{1,20}} overall={_NUMBER}\s*$",
    re.MULTILINE | re.ASCII,
)
_UNKNOWN = re.compile(r"Unconsumed cmdline flags: (.{1,300})")

ROUNDED = 1e-4
"""Relative error of numbers that the program prints with six digits."""


@dataclass(frozen=True)
class Told:
    """What one run of the program told. Times in milliseconds, memory in MB (10^6 bytes); `None` where it does not.

    Attributes:
        load_ms: until the model could run.
        first_ms: the first inference.
        count: timed inferences.
        mean_ms: of these.
        min_ms: the fastest.
        max_ms: the slowest.
        median_ms: only newer versions tell it.
        grown_mb: by how much the peak of the resident memory grew from the program's start.
    """

    load_ms: float
    first_ms: float
    count: int
    mean_ms: float
    min_ms: float
    max_ms: float
    median_ms: float | None
    grown_mb: float | None


def read(text: str) -> Told:
    """Return what the program told.

    Raises:
        DeviceError: it is another version that does not know a flag, or this is not what it prints.
    """
    unknown = _UNKNOWN.search(text)
    if unknown:
        raise DeviceError(
            f"this version of benchmark_model does not know {unknown[1].strip()}: put a newer one on the phone"
        )
    statistics, inits, grown = _STATISTICS.findall(text), _INIT.findall(text), _GROWN.findall(text)
    if len(statistics) != 2 or len(inits) != 1 or len(grown) > 1:
        raise DeviceError(f"this is not what benchmark_model prints: {text[-300:]!r}", "damaged")
    _, first, *_ = _times(statistics[0])
    count, _, least, most, mean, median = _times(statistics[1])
    init = float(inits[0][0] or inits[0][1])
    ordered = least * (1 - ROUNDED) <= mean <= most * (1 + ROUNDED) and (median is None or least <= median <= most)
    if not (count and least > 0 and ordered and math.isfinite(init + first + most)):
        raise DeviceError(f"these times of benchmark_model cannot be: {statistics[1]}", "damaged")
    return Told(
        load_ms=init / 1e3,
        first_ms=first / 1e3,
        count=count,
        mean_ms=mean / 1e3,
        min_ms=least / 1e3,
        max_ms=most / 1e3,
        median_ms=None if median is None else median / 1e3,
        grown_mb=float(grown[0]) * 2**20 / 1e6 if grown else None,
    )


def _times(found: tuple[str, ...]) -> tuple[int, float, float, float, float, float | None]:
    """Return the count, first, least, most and mean of a line, and the median or `None`; microseconds."""
    count, first, _, least, most, mean, same, _, median, _ = found
    numbers = [float(same)] * 4 if same else [float(one) for one in (first, least, most, mean)]
    return int(count), numbers[0], numbers[1], numbers[2], numbers[3], float(median) if median else None
