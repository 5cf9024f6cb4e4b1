"""One rule: `latency_p99_ms <= 33 ms`, `map50 >= champion - 0.5 points`, `latency_p50_ms <= champion * 1.05`."""

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_pipeline.pipelines.gate.measures import Measure, measure, per_class

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": lambda a, b: math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12),
}
_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?"
_UNIT = r"[A-Za-z/%]*"
_RULE = re.compile(r"(?P<metric>[^<>=≤≥!]+?)\s*(?P<compare><=|>=|==|=<|=>|!=|<|>|=|≤|≥)\s*(?P<limit>[^<>=≤≥!]+)")
_PLAIN = re.compile(rf"(?P<sign>-?)\s*(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT})", re.IGNORECASE)
_RELATIVE = re.compile(
    rf"champion(?:\s*(?P<sign>[*x×+-])\s*(?P<number>{_NUMBER})\s*(?P<unit>{_UNIT}))?",  # noqa: RUF001
    re.IGNORECASE,
)
_MEANT = {"≤": "<=", "≥": ">="}


@dataclass(frozen=True)
class Rule:
    """A metric and its limit, which is `factor` times the champion's value plus `offset`; absolute if that is 0.

    Attributes:
        text: as it was written.
        measure: the metric; where `classes` is set, the beginning of the names of all classes.
        compare: `<=`, `>=`, `<`, `>` or `==`.
        factor: of the champion's value.
        offset: in the metric's unit.
        per_class: whether it holds for every class.
    """

    text: str
    measure: Measure
    compare: str
    factor: float
    offset: float
    per_class: bool = False

    @property
    def relative(self) -> bool:
        """Whether it needs a champion."""
        return self.factor != 0

    def limit(self, champion: float | None = None) -> float:
        """Return the limit, given the champion's value."""
        return self.offset + (self.factor * champion if self.factor and champion is not None else 0.0)

    def met(self, value: float, limit: float) -> bool:
        """Return whether `value` meets it; no number that is not finite does."""
        return math.isfinite(value) and math.isfinite(limit) and _COMPARE[self.compare](value, limit)


def parse(text: str, task: str, own: Iterable[str] | None = None, classes: bool = False) -> Rule:
    """Return a rule.

    Args:
        text: the rule.
        task: of the model.
        own: names of the user's metrics, see `measure`.
        classes: whether it is a rule for every class.

    Raises:
        ValueError: says what is wrong with it.
    """
    form = _RULE.fullmatch(text.strip())
    if form is None or form["compare"] in ("=<", "=>", "!=", "="):
        wrong = f"; '{form['compare']}' is none of <=, >=, <, >, ==" if form else ""
        raise ValueError(
            f"'{text.strip()}' is no rule{wrong}. Write METRIC <= LIMIT, as `latency_p99_ms <= 33` or "
            "`map50 >= champion - 0.5 points`"
        )
    metric = per_class(form["metric"], task) if classes else measure(form["metric"], task, own)
    compare = _MEANT.get(form["compare"], form["compare"])
    factor, offset = _limit(form["limit"].strip(), metric)
    if factor == 0 and metric.unit == "share" and not 0 <= offset <= 1:
        raise ValueError(f"{metric.name} lies between 0 and 1: write {form['limit'].strip()}% or {offset / 100:g}")
    return Rule(text.strip(), metric, compare, factor, offset, classes)


def _limit(text: str, metric: Measure) -> tuple[float, float]:
    """Return factor of the champion's value, and offset.

    Raises:
        ValueError: says what is wrong.
    """
    plain = _PLAIN.fullmatch(text)
    if plain:
        number = metric.quantity(float(plain["number"]), plain["unit"])
        return 0.0, -number if plain["sign"] else number
    relative = _RELATIVE.fullmatch(text)
    if relative is None:
        raise ValueError(
            f"'{text}' is no limit of {metric.name}: write a number with or without its unit, `champion`, "
            "`champion - 0.5 points`, or `champion * 1.05`"
        )
    sign, unit = relative["sign"], relative["unit"] or ""
    if sign is None:
        return 1.0, 0.0
    number = float(relative["number"])
    if sign in "*xX×":  # noqa: RUF001
        if unit or not number:
            raise ValueError(f"'{text}': the champion's value is multiplied by a number above 0 without a unit")
        return number, 0.0
    signed = number if sign == "+" else -number
    if unit.lower() in ("%", "percent") and metric.unit in ("share", "pct"):
        factor = f"champion * {1 + signed / 100:g}"
        raise ValueError(f"'{text}': percent of what? Write `points` for {metric.name}, or `{factor}`")
    if unit.lower() in ("%", "percent"):
        if signed <= -100:
            raise ValueError(f"'{text}' leaves nothing of the champion's value")
        return 1 + signed / 100, 0.0
    if not unit and metric.unit in ("share", "pct"):
        raise ValueError(f"'{text}': {relative['number']} of what? Write `champion {sign} {relative['number']} points`")
    return 1.0, metric.quantity(signed, unit)
