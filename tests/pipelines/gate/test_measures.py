"""What people call a metric, its unit, and which way is better."""

import pytest

from edge_pipeline.pipelines.gate.measures import Measure, measure, per_class


@pytest.mark.parametrize(
    ("text", "task", "name", "unit"),
    [
        ("latency_p99_ms", "detection", "latency_p99_ms", "ms"),
        ("latency_p99", "detection", "latency_p99_ms", "ms"),
        ("p99", "detection", "latency_p99_ms", "ms"),
        ("Latency p99", "detection", "latency_p99_ms", "ms"),
        ("memory", "detection", "peak_memory_mb", "mb"),
        ("peak_memory", "detection", "peak_memory_mb", "mb"),
        ("fps", "detection", "throughput_ips", "ips"),
        ("npu_layers", "detection", "npu_layers_pct", "pct"),
        ("energy", "detection", "energy_mj", "mj"),
        ("mAP50", "detection", "map50", "share"),
        ("mAP", "detection", "map50_95", "share"),
        ("mAP50-95", "detection", "map50_95", "share"),
        ("mask_map50", "instance_segmentation", "mask_map50", "share"),
        ("mIoU", "semantic_segmentation", "miou", "share"),
        ("accuracy", "classification", "accuracy", "share"),
        ("ECE", "classification", "ece", "share"),
        ("top1_agreement", "classification", "top1_agreement", "share"),
        ("sqnr_float", "classification", "sqnr_float_db", "db"),
        ("ap50_small car", "detection", "ap50_small car", "share"),
        ("recall_3", "classification", "recall_3", "share"),
        ("inferences", "classification", "inferences", ""),
    ],
)
def test_spellings(text: str, task: str, name: str, unit: str) -> None:
    assert measure(text, task, ()) == Measure(name, unit)


@pytest.mark.parametrize(
    ("text", "task", "hint"),
    [
        ("latncy_p99", "detection", "did you mean 'latency_p99'?"),
        ("map50_59", "detection", "did you mean 'map50_95'?"),
        ("acuracy", "classification", "did you mean 'accuracy'?"),
        ("mask_map50", "detection", "did you mean "),
        ("miou", "classification", "valid names: accuracy, "),
    ],
)
def test_a_misspelt_metric_and_one_of_another_task_are_refused(text: str, task: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"there is no metric '{text}' of the task {task}; ") as raised:
        measure(text, task, ())
    assert hint in str(raised.value)


def test_a_users_own_metric_is_taken_as_it_is_written() -> None:
    assert measure("my_F1", "custom", ("my_F1",)) == Measure("my_F1", "")
    assert measure("anything", "custom", None) == Measure("anything", ""), "its metrics are not known yet"
    with pytest.raises(ValueError, match="did you mean 'my_F1'"):
        measure("my_F2", "custom", ("my_F1",))


@pytest.mark.parametrize(
    ("text", "task", "prefix"),
    [
        ("mAP50", "detection", "ap50_"),
        ("map50_95", "detection", "ap_"),
        ("mask_map50", "instance_segmentation", "mask_ap50_"),
        ("mIoU", "semantic_segmentation", "iou_"),
        ("recall", "classification", "recall_"),
        ("accuracy", "classification", "recall_"),
    ],
)
def test_what_a_metric_is_called_of_one_class(text: str, task: str, prefix: str) -> None:
    assert per_class(text, task) == Measure(prefix, "share")


def test_a_metric_that_single_classes_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no metric 'map5' of single classes; did you mean 'map50'\?"):
        per_class("map5", "detection")
    with pytest.raises(ValueError, match="the task custom knows no classes"):
        per_class("accuracy", "custom")


@pytest.mark.parametrize(
    ("name", "unit", "number", "written", "expected"),
    [
        ("latency_p99_ms", "ms", 0.033, "s", 33.0),
        ("latency_p99_ms", "ms", 900, "us", 0.9),
        ("peak_memory_mb", "mb", 0.2, "GB", 200.0),
        ("peak_memory_mb", "mb", 1, "MiB", 1.048576),
        ("energy_mj", "mj", 2, "J", 2000.0),
        ("npu_layers_pct", "pct", 100, "%", 100.0),
        ("map50", "share", 50, "%", 0.5),
        ("map50", "share", 0.5, "points", 0.005),
        ("map50", "share", 0.5, "", 0.5),
    ],
)
def test_units(name: str, unit: str, number: float, written: str, expected: float) -> None:
    assert Measure(name, unit).quantity(number, written) == pytest.approx(expected)


def test_a_unit_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="'MB' is no unit of latency_p50_ms; valid names: ms, s, us"):
        Measure("latency_p50_ms", "ms").quantity(1, "MB")
    with pytest.raises(ValueError, match="'ms' is no unit of my_F1; write the number alone"):
        Measure("my_F1", "").quantity(1, "ms")


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("map50", True),
        ("fps_of_mine", True),
        ("throughput_ips", True),
        ("npu_layers_pct", True),
        ("latency_p50_ms", False),
        ("size_mb", False),
        ("energy_mj", False),
        ("ece", False),
    ],
)
def test_which_way_is_better(name: str, higher: bool) -> None:
    assert Measure(name, "").higher_is_better is higher


def test_how_numbers_are_shown() -> None:
    assert Measure("map50", "share").text(0.4567) == "45.67%"
    assert Measure("latency_p50_ms", "ms").text(1.23456) == "1.235 ms"
    assert Measure("map50", "share").difference(-0.005) == "-0.50 points"
    assert Measure("npu_layers_pct", "pct").difference(-2) == "-2.00 points"
    assert Measure("size_mb", "mb").difference(0.25) == "+0.25 MB"
