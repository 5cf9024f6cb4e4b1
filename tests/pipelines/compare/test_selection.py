"""The target to ship: what is wanted is read, and the best that meets every limit is chosen."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import click
import pytest

from edge_pipeline.cli.choosing import recommendation
from edge_pipeline.core.types import Failure, Layer, RuntimeName, Target
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import Require
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import Recommendation, Selection, recommend
from edge_pipeline.pipelines.gate.spec import GateSpec

Make = Callable[..., TargetResults]
DEVICES = {
    "rb3": DeviceSpec(kind="ssh", address="edge@192.0.2.7", labels=("kitchen",)),
    "host": DeviceSpec(kind="host"),
}


def chosen(text: str, *found: TargetResults, require: Require | None = None) -> Recommendation:
    return recommend(found, Selection.parse(text, "classification"), DEVICES, require)


def target_of(name: str) -> str:
    return name.partition("@")[2].partition("/")[0]


def target(one: Recommendation) -> str | None:
    return one.target and target_of(one.target)


def test_the_whole_form_is_read() -> None:
    text = "maximize mAP50 subject to latency_p99_ms <= 33, peak_memory_mb <= 200 on rb3, kitchen"
    one = Selection.parse(text, "detection")
    assert (one.text, one.measure.name, one.maximize, one.on) == (text, "map50", True, ("rb3", "kitchen"))
    limits = [(rule.measure.name, rule.compare, rule.limit()) for rule in one.limits]
    assert limits == [("latency_p99_ms", "<=", 33.0), ("peak_memory_mb", "<=", 200.0)]


@pytest.mark.parametrize(
    ("text", "name", "most", "limits", "on"),
    [
        ("maximize accuracy", "accuracy", True, [], ()),
        ("Maximise  Top1 on host", "top1", True, [], ("host",)),
        ("minimize p50", "latency_p50_ms", False, [], ()),
        ("MINIMISE energy\n subject to\n accuracy >= 90%", "energy_mj", False, [("accuracy", 0.9)], ()),
        ("minimize size_mb subject to top1 >= 0.9", "size_mb", False, [("top1", 0.9)], ()),
        ("maximize fps subject to p99 <= 0.033 s", "throughput_ips", True, [("latency_p99_ms", 33.0)], ()),
        ("maximize accuracy subject to memory<=0.2GB", "accuracy", True, [("peak_memory_mb", 200.0)], ()),
        (
            "maximize accuracy subject to latency p99 <= 33 ms and npu layers == 100% on htp_emulator",
            "accuracy",
            True,
            [("latency_p99_ms", 33.0), ("npu_layers_pct", 100.0)],
            ("htp_emulator",),
        ),
    ],
)
def test_spellings_and_units_are_understood(text: str, name: str, most: bool, limits: list, on: tuple) -> None:
    one = Selection.parse(text, "classification")
    assert (one.measure.name, one.maximize, one.on) == (name, most, on)
    assert [rule.measure.name for rule in one.limits] == [metric for metric, _ in limits]
    assert [rule.limit() for rule in one.limits] == pytest.approx([limit for _, limit in limits])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not say what to select. Write `maximize METRIC subject to LIMIT, LIMIT on DEVICE`"),
        ("accuracy", "does not say what to select"),
        ("maximize", "does not say what to select"),
        ("maximize acuracy", "there is no metric 'acuracy' of the task classification; did you mean 'accuracy'"),
        ("maximize map50", "there is no metric 'map50' of the task classification"),
        ("maximize accuracy subject to latensy_p99 <= 3", "there is no metric 'latensy_p99'"),
        ("maximize accuracy subject to p99 = 3", "'=' is none of <=, >=, <, >, =="),
        ("maximize accuracy subject to p99", "'p99' is no rule"),
        ("maximize accuracy subject to p99 <= 3 mb", "'mb' is no unit of latency_p99_ms"),
        ("maximize accuracy subject to accuracy >= 90", "write 90% or 0.9"),
        ("maximize p99 subject to accuracy >= champion", "here a limit is a number"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        Selection.parse(text, "classification", ())
    assert said in str(error.value)


def test_the_users_own_metric_can_be_wanted() -> None:
    assert Selection.parse("minimize my_cost", "classification", ["my_cost"]).measure.name == "my_cost"
    with pytest.raises(ValueError, match="did you mean 'my_cost'"):
        Selection.parse("minimize my_cots", "classification", ["my_cost"])


def test_the_best_that_meets_every_limit_is_chosen(by_hand: Make) -> None:
    found = (
        by_hand("slow", accuracy=0.99, latency_p99_ms=50.0),
        by_hand("good", accuracy=0.95, latency_p99_ms=20.0),
        by_hand("fast", accuracy=0.90, latency_p99_ms=5.0),
    )
    one = chosen("maximize accuracy subject to p99 <= 33 ms", *found)
    assert target(one) == "good"
    assert one.reason == ("it has the largest accuracy, 95.00%, of the 2 targets that meet every limit (p99 <= 33 ms)")
    assert [(target_of(c.target), c.misses) for c in one.candidates] == [
        ("good", ()),
        ("fast", ()),
        ("slow", ("latency_p99_ms is 50 ms, 17 ms beyond the limit 33 ms",)),
    ]
    assert target(chosen("minimize p99", *found)) == "fast"
    assert target(chosen("maximize accuracy", *found)) == "slow"
    only = chosen("maximize accuracy subject to p99 <= 10 ms", *found)
    assert only.reason == "the only target that meets every limit (p99 <= 10 ms); accuracy is 90.00%"


def test_of_equally_good_ones_the_faster_then_the_smaller_is_chosen(by_hand: Make) -> None:
    slow, fast = by_hand("a", accuracy=0.9, latency_p50_ms=2.0), by_hand("b", accuracy=0.9, latency_p50_ms=1.0)
    small = by_hand("c", accuracy=0.9, latency_p50_ms=1.0, size_mb=0.5)
    assert target(chosen("maximize accuracy", slow, fast)) == "b"
    assert target(chosen("maximize accuracy", slow, fast, small)) == "c"


def test_where_none_meets_the_limits_the_nearest_and_what_it_misses_by_how_much_are_told(by_hand: Make) -> None:
    one = chosen(
        "maximize accuracy subject to p99 <= 33 ms, memory <= 200 MB",
        by_hand("far", accuracy=0.99, latency_p99_ms=90.0),
        by_hand("both", accuracy=0.99, latency_p99_ms=34.0, peak_memory_mb=201.0),
        by_hand("near", accuracy=0.80, latency_p99_ms=35.5),
    )
    assert one.target is None
    assert one.reason == (
        "no target meets every limit; nearest comes near/onnx/w8a8: latency_p99_ms is 35.5 ms, 2.5 ms beyond the "
        "limit 33 ms"
    )
    misses = {target_of(c.target): c.misses for c in one.candidates}
    assert misses["both"] == (
        "latency_p99_ms is 34 ms, 1 ms beyond the limit 33 ms",
        "peak_memory_mb is 201 MB, 1 MB beyond the limit 200 MB",
    )


def test_a_number_that_was_not_measured_or_is_not_finite_meets_no_limit(by_hand: Make) -> None:
    for missing in (by_hand("rb3", accuracy=0.9), by_hand("rb3", accuracy=0.9, energy_mj=float("nan"))):
        one = chosen("maximize accuracy subject to energy <= 5 mJ", missing)
        assert one.target is None
        assert "energy_mj was not measured, so it meets no limit (energy <= 5 mJ)" in one.reason
    one = chosen("maximize accuracy", by_hand("rb3", accuracy=float("nan")))
    assert one.target is None
    assert "accuracy was not measured" in one.reason


def test_failed_and_outdated_targets_cannot_be_shipped(by_hand: Make) -> None:
    good = by_hand("host", accuracy=0.5)
    failed = replace(by_hand("rb3", accuracy=0.9), results=(Failure("profile", "x", "it burned"),))
    outdated = TargetResults(failed.target, "ssh", (), None, ("profile: outdated, there is a newer export",))
    for other, why in ((failed, "profile failed: it burned"), (outdated, "profile: outdated, there is a newer export")):
        one = chosen("maximize accuracy", other, good)
        assert target(one) == "host"
        assert why in one.candidates[1].misses


def test_what_the_model_requires_holds_whatever_is_selected(by_hand: Make) -> None:
    layers = (Layer("conv", "Conv", "npu"), Layer("fell", "Softmax", "cpu"))
    found = by_hand("rb3", accuracy=0.9, layers=layers, npu_layers_pct=50.0)
    found = replace(found, target=Target("digits", "rb3", RuntimeName.QNN_CONTEXT_BINARY, found.target.precision))
    assert target(chosen("maximize accuracy", found)) == "rb3"
    one = chosen("maximize accuracy", found, require=Require(npu_layers="100%"))
    assert one.target is None
    assert "100% of the layers must be on the NPU, 50.0% are" in one.reason


@pytest.mark.parametrize("word", ["rb3", "kitchen", "ssh"])
def test_devices_are_named_by_name_label_or_kind(by_hand: Make, word: str) -> None:
    found = by_hand("host", accuracy=0.99), by_hand("rb3", accuracy=0.9, kind="ssh")
    one = chosen(f"maximize accuracy on {word}", *found)
    assert target(one) == "rb3"
    assert len(one.candidates) == 1


def test_a_device_without_targets_is_told(by_hand: Make) -> None:
    one = chosen("maximize accuracy on rb5", by_hand("host", accuracy=0.99))
    assert (one.target, one.reason, one.candidates) == (None, "there is no target on rb5", ())


@pytest.fixture
def now(by_hand: Make, spec: Any) -> Callable[..., Any]:
    """Return a function that makes what the command knows, with `select` of gates.yml."""

    def make(**select: str) -> Any:
        found = [by_hand("host", accuracy=0.9), by_hand("rb3", accuracy=0.8, kind="ssh")]
        project = SimpleNamespace(gates={"digits": GateSpec(**select)}, devices=DEVICES)
        return SimpleNamespace(project=project, model="digits", found=found, spec=spec, own=[])

    return make


def test_the_option_goes_before_gates_yml_and_without_either_nothing_is_recommended(now: Callable[..., Any]) -> None:
    both = now(select="maximize accuracy on rb3")
    assert recommendation(now(), None) is None
    assert target(recommendation(both, None)) == "rb3"
    assert target(recommendation(both, "maximize accuracy")) == "host"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("maximize acuracy", "there is no metric 'acuracy' of the task classification; did you mean 'accuracy'"),
        ("maximize accuracy on rb33", "no target of digits is on a device, label or kind 'rb33'; did you mean 'rb3'"),
    ],
)
def test_a_misspelt_name_is_told_with_the_closest_and_where_it_stands(
    now: Callable[..., Any], text: str, said: str
) -> None:
    for asked, place in ((now(), "--select: "), (now(select=text), "gates.yml: digits.select: ")):
        with pytest.raises(click.ClickException) as error:
            recommendation(asked, text if place == "--select: " else None)
        assert error.value.message.startswith(place + said)
