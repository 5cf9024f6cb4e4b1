"""What LiteRT's `benchmark_model` prints, in the forms of its versions, and what is none of that."""

from typing import Any

import pytest

from edge_pipeline.core.errors import DeviceError
from edge_pipeline.devices.benchmark_output import read

NEW = """INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [100]
INFO: Graph: [/data/local/tmp/edge-pipeline/files/1f]
INFO: Loaded model /data/local/tmp/edge-pipeline/files/1f
INFO: Initialized TensorFlow Lite runtime.
INFO: The input model file size (MB): 16.9008
INFO: Initialized session in 17.187ms.
INFO: Running benchmark for at least 50 iterations and at least 0 seconds but terminate if exceeding 300 seconds.
INFO: count=50 first=90275 curr=27412 min=27276 max=90275 avg=28950.3 std=8805 p5=27301 median=27598 p95=28480

INFO: Running benchmark for at least 100 iterations and at least 2 seconds but terminate if exceeding 300 seconds.
INFO: count=102 first=27602 curr=27340 min=27118 max=31954 avg=2.77e+04 std=522 p5=27203 median=27511 p95=28730

INFO: Inference timings in us: Init: 17187, First inference: 90275, Warmup (avg): 28950.3, Inference (avg): 2.77e+04
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual \
memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
"""

OLDER = """STARTING!
Loaded model m.tflite
Initialized session in 17.187ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=1 curr=3512391

Running benchmark for at least 100 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=100 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798

Inference timings in us: Init: 17187, First inference: 3512391, Warmup (avg): 3.51239e+06, Inference (avg): 2.95034e+06
Peak memory footprint (MB): init=4.92969 overall=138.809
"""

OLDEST = """Initialized session in 1.892ms
Running benchmark for at least 1 iterations and at least 0.5 seconds
count=6 first=91810 curr=85097 min=84834 max=91810 avg=86184.3 std=2519

Running benchmark for at least 50 iterations and at least 1 seconds
count=50 first=118810 curr=114219 min=88216 max=129193 avg=115062 std=7678

Average inference timings in us: Warmup: 86184.3, Init: 1892, no stats: 115062
"""


def test_a_newer_version_tells_the_median_and_how_memory_grew() -> None:
    found = read(NEW)
    assert (found.load_ms, found.first_ms, found.count) == (17.187, 90.275, 102)
    assert (found.mean_ms, found.min_ms, found.max_ms, found.median_ms) == (27.7, 27.118, 31.954, 27.511)
    assert found.grown_mb == pytest.approx(46.0859 * 1.048576)


def test_an_older_version_tells_no_median_and_its_memory_is_not_taken() -> None:
    found = read(OLDER)
    assert (found.load_ms, found.first_ms, found.count, found.mean_ms) == (17.187, 3512.391, 100, 2950.34)
    assert found.median_ms is None and found.grown_mb is None


def test_the_oldest_version_has_its_times_in_another_order() -> None:
    found = read(OLDEST)
    assert (found.load_ms, found.first_ms, found.count, found.min_ms) == (1.892, 91.81, 50, 88.216)


def test_equal_times_are_printed_once() -> None:
    line = next(one for one in NEW.splitlines() if "count=102" in one)
    found = read(NEW.replace(line, "INFO: count=102 curr=40(all same) p5=40 median=40 p95=40"))
    assert (found.count, found.mean_ms, found.min_ms, found.median_ms) == (102, 0.04, 0.04, 0.04)


def test_the_end_of_lines_of_a_terminal_changes_nothing() -> None:
    assert read(NEW.replace("\n", "\r\n")) == read(NEW)


def test_a_version_without_a_flag_is_told() -> None:
    with pytest.raises(DeviceError, match="does not know --use_xnnpack=true: put a newer one"):
        read("WARN: Unconsumed cmdline flags: --use_xnnpack=true\n" + NEW)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "\x00\xff garbage " * 1000,
        lambda text: text[: text.index("count=102")],
        lambda text: text + text,
        lambda text: text.replace("count=102 ", "count=0 "),
        lambda text: text.replace("count=102 ", "count=-5 "),
        lambda text: text.replace("min=27118", "min=0"),
        lambda text: text.replace("min=27118", "min=nan"),
        lambda text: text.replace("max=31954", "max=100"),
        lambda text: text.replace("median=27511", "median=99999"),
        lambda text: text.replace("avg=2.77e+04", "avg=1"),
        lambda text: text.replace("avg=2.77e+04", "avg=9e+99"),
        lambda text: text.replace("Init: 17187", "Init: inf"),
        lambda text: text.replace("Init: 17187", f"Init: {'9' * 400}"),
    ],
)
def test_what_is_no_output_of_it_is_refused(change: Any) -> None:
    with pytest.raises(DeviceError, match=r"not what benchmark_model prints|cannot be") as caught:
        read(change(NEW))
    assert caught.value.trouble == "damaged" and len(str(caught.value)) < 1500
