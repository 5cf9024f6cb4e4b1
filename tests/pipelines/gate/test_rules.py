"""Rules as they are written."""

import math

import pytest

from edge_pipeline.pipelines.gate.rules import parse


@pytest.mark.parametrize(
    ("text", "name", "compare", "limit"),
    [
        ("latency_p99_ms <= 33", "latency_p99_ms", "<=", 33.0),
        ("latency_p99_ms <= 33 ms", "latency_p99_ms", "<=", 33.0),
        ("  p99<.5s ", "latency_p99_ms", "<", 500.0),
        ("npu_layers == 100%", "npu_layers_pct", "==", 100.0),
        ("map50 >= 45%", "map50", ">=", 0.45),
        ("map50 ≥ 0.45", "map50", ">=", 0.45),
        ("memory ≤ 2e2 MB", "peak_memory_mb", "<=", 200.0),
        ("sqnr_float > -3 dB", "sqnr_float_db", ">", -3.0),
    ],
)
def test_absolute_rules(text: str, name: str, compare: str, limit: float) -> None:
    rule = parse(text, "detection", ())
    assert (rule.measure.name, rule.compare, rule.relative) == (name, compare, False)
    assert rule.limit() == pytest.approx(limit)
    assert rule.text == text.strip()


@pytest.mark.parametrize(
    ("text", "champion", "limit"),
    [
        ("map50 >= champion", 0.5, 0.5),
        ("map50 >= champion - 0.5 points", 0.5, 0.495),
        ("map50 >= Champion -1pt", 0.5, 0.49),
        ("map50 >= champion * 0.9", 0.5, 0.45),
        ("p50 <= champion * 1.05", 20.0, 21.0),
        ("p50 <= champion x 1.05", 20.0, 21.0),
        ("p50 <= champion + 5%", 20.0, 21.0),
        ("p50 <= champion + 5 percent", 20.0, 21.0),
        ("p50 <= champion + 500 us", 20.0, 20.5),
        ("npu_layers >= champion - 2 points", 100.0, 98.0),
    ],
)
def test_rules_relative_to_the_champion(text: str, champion: float, limit: float) -> None:
    rule = parse(text, "detection", ())
    assert rule.relative
    assert rule.limit(champion) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("compare", "below", "equal", "above"),
    [
        ("<=", True, True, False),
        ("<", True, False, False),
        (">=", False, True, True),
        (">", False, False, True),
        ("==", False, True, False),
    ],
)
def test_when_a_rule_is_met(compare: str, below: bool, equal: bool, above: bool) -> None:
    rule = parse(f"p50 {compare} 10", "detection", ())
    assert [rule.met(value, 10.0) for value in (9.9, 10.0, 10.1)] == [below, equal, above]


@pytest.mark.parametrize("compare", ["<=", "<", ">=", ">", "=="])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_meets_nothing(compare: str, value: float) -> None:
    rule = parse(f"p50 {compare} 10", "detection", ())
    assert not rule.met(value, 10.0)
    assert not rule.met(10.0, value)


def test_equality_bears_rounding() -> None:
    rule = parse("npu_layers == 100%", "detection", ())
    assert rule.met(100 * (1 - 1e-12), rule.limit())
    assert not rule.met(99.9, rule.limit())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no rule"),
        ("latency_p99_ms", "is no rule. Write METRIC <= LIMIT"),
        ("p50 =< 3", "'=<' is none of <=, >=, <, >, =="),
        ("p50 = 3", "'=' is none of"),
        ("p50 != 3", "'!=' is none of"),
        ("1 <= p50 <= 3", "is no rule"),
        ("p50 << 3", "is no rule"),
        ("p50 <= fast", "'fast' is no limit of latency_p50_ms"),
        ("p50 <= champoin * 1.05", "'champoin * 1.05' is no limit of latency_p50_ms: write a number"),
        ("p50 <= 3 MB", "'MB' is no unit of latency_p50_ms"),
        ("p5O <= 3", "there is no metric 'p5O' of the task detection; did you mean"),
        ("map50 >= 45", "map50 lies between 0 and 1: write 45% or 0.45"),
        ("map50 >= 101%", "map50 lies between 0 and 1"),
        ("map50 >= champion - 0.5", "0.5 of what? Write `champion - 0.5 points`"),
        ("map50 >= champion - 5%", "percent of what? Write `points` for map50, or `champion * 0.95`"),
        ("map50 >= champion - 5 percent", "percent of what?"),
        ("p50 <= champion * 0", "multiplied by a number above 0 without a unit"),
        ("p50 <= champion * 5 ms", "multiplied by a number above 0 without a unit"),
        ("fps >= champion - 100%", "leaves nothing of the champion's value"),
    ],
)
def test_what_is_no_rule_is_refused_saying_why(text: str, told: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(text, "detection", ())
    assert told in str(raised.value)


def test_a_rule_for_every_class_is_about_the_metric_of_a_class() -> None:
    rule = parse("map50 >= champion - 2 points", "detection", (), classes=True)
    assert (rule.measure.name, rule.per_class, rule.limit(0.5)) == ("ap50_", True, pytest.approx(0.48))
    with pytest.raises(ValueError, match="no metric 'latency_p50_ms' of single classes"):
        parse("latency_p50_ms <= 3", "detection", (), classes=True)
