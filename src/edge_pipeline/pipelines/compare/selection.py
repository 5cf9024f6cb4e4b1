"""Choose the target to ship: `maximize mAP50 subject to latency_p99_ms <= 33 ms, memory <= 200 MB on rb3`."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_pipeline.core.types import Failure, Profile, Validation
from edge_pipeline.devices.inventory import DeviceSpec
from edge_pipeline.models.spec import Require
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.gate.measures import Measure, measure
from edge_pipeline.pipelines.gate.rules import Rule, parse
from edge_pipeline.pipelines.gates import unmet

_FORM = re.compile(
    r"(?P<aim>maximi[sz]e|minimi[sz]e)\s+(?P<metric>.+?)(?:\s+subject\s+to\s+(?P<limits>.+?))?(?:\s+on\s+(?P<on>[^<>=]+))?",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Selection:
    """What makes a target the one to ship.

    Attributes:
        text: as it was written.
        measure: the metric that matters.
        maximize: whether it is to be large.
        limits: what a target must meet.
        on: names, labels or kinds of devices; all, if empty.
    """

    text: str
    measure: Measure
    maximize: bool
    limits: tuple[Rule, ...]
    on: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, task: str, own: Iterable[str] | None = None) -> "Selection":
        """Return what `text` says.

        Args:
            text: `maximize METRIC subject to LIMIT, LIMIT on DEVICE`, of which the later parts may be absent.
            task: of the model.
            own: names of the user's metrics; `None` if any name may be one.

        Raises:
            ValueError: says what is wrong with it.
        """
        own = None if own is None else tuple(own)
        form = _FORM.fullmatch(" ".join(text.split()))
        if form is None:
            raise ValueError(
                f"'{text}' does not say what to select. Write `maximize METRIC subject to LIMIT, LIMIT on DEVICE`, as "
                "`maximize accuracy subject to latency_p99_ms <= 33 ms, peak_memory_mb <= 200 on rb3`"
            )
        parts = [one for one in re.split(r"\s*,\s*|\s+and\s+", form["limits"] or "") if one]
        limits = tuple(parse(one, task, own) for one in parts)
        relative = next((one for one in limits if one.relative), None)
        if relative:
            raise ValueError(f"'{relative.text}': here a limit is a number; the gates compare with the champion")
        devices = tuple(one.strip() for one in (form["on"] or "").split(",") if one.strip())
        aim = measure(form["metric"], task, own)
        return cls(text.strip(), aim, form["aim"].lower().startswith("max"), limits, devices)


@dataclass(frozen=True)
class Candidate:
    """One target, and why it cannot be shipped: `misses` is empty where it can."""

    target: str
    value: float | None
    misses: tuple[str, ...]
    excess: float


@dataclass(frozen=True)
class Recommendation:
    """The target to ship, `None` if no one meets the limits; and all candidates, the best first."""

    selection: Selection
    target: str | None
    reason: str
    candidates: tuple[Candidate, ...]


def recommend(
    found: Sequence[TargetResults],
    selection: Selection,
    devices: Mapping[str, DeviceSpec],
    require: Require | None = None,
) -> Recommendation:
    """Return the best of the targets that meet all limits; of equally good ones the faster, then the smaller one.

    A number that was not measured meets no limit.

    Args:
        found: the targets.
        selection: what is wanted.
        devices: of devices.yml.
        require: what the model's targets must reach whatever is selected.
    """
    considered = [one for one in found if not selection.on or _on(one, selection.on, devices)]
    made = [(_candidate(one, selection, require or Require()), numbers(one)) for one in considered]

    def rank(pair: tuple[Candidate, Mapping[str, float]]) -> tuple[float, ...]:
        one, values = pair
        worth = math.inf if one.value is None else -one.value if selection.maximize else one.value
        cost = (values.get("latency_p50_ms", math.inf), values.get("size_mb", math.inf))
        return (len(one.misses), one.excess if one.misses else 0.0, worth, *cost)

    ordered = tuple(one for one, _ in sorted(made, key=rank))
    fit = [one for one in ordered if not one.misses]
    if fit:
        best = fit[0]
        assert best.value is not None
        way = "largest" if selection.maximize else "smallest"
        among = f"of the {len(fit)} targets that meet" if len(fit) > 1 else "the only target that meets"
        every = f"every limit ({', '.join(one.text for one in selection.limits)})" if selection.limits else "the wish"
        first = f"it has the {way} {selection.measure.name}, {selection.measure.text(best.value)}, "
        reason = (
            f"{first}{among} {every}"
            if len(fit) > 1
            else f"{among} {every}; {selection.measure.name} is " + (selection.measure.text(best.value))
        )
        return Recommendation(selection, best.target, reason, ordered)
    if not ordered:
        return Recommendation(selection, None, f"there is no target on {', '.join(selection.on)}", ())
    nearest = ordered[0]
    name = nearest.target.partition("@")[2]
    reason = f"no target meets every limit; nearest comes {name}: {'; '.join(nearest.misses)}"
    return Recommendation(selection, None, reason, ordered)


def numbers(one: TargetResults) -> dict[str, float]:
    """Return the finite metrics of a target by name."""
    return {
        key: value
        for result in one.results
        if not isinstance(result, Failure)
        for key, value in result.metrics.items()
        if math.isfinite(value)
    }


def complete(one: TargetResults) -> str:
    """Return why profile and validation of a target are not both there; nothing where they are."""
    have = {type(result) for result in one.results}
    if {Profile, Validation} <= have:
        return ""
    failures = [f"{result.stage} failed: {result.message}" for result in one.results if isinstance(result, Failure)]
    return "; ".join(dict.fromkeys([*failures, *one.problems])) or "it was not measured"


def _candidate(one: TargetResults, selection: Selection, require: Require) -> Candidate:
    values, value = numbers(one), numbers(one).get(selection.measure.name)
    misses, excess = [], 0.0
    lacking = complete(one)
    if lacking:
        misses.append(lacking)
    for result in one.results:
        if isinstance(result, Profile) and (why := unmet(result, one.target.runtime, require)):
            misses.append(why)
    if value is None:
        misses.append(f"{selection.measure.name} was not measured")
    for limit in selection.limits:
        actual, wanted = values.get(limit.measure.name), limit.limit()
        if actual is None:
            misses.append(f"{limit.measure.name} was not measured, so it meets no limit ({limit.text})")
        elif not limit.met(actual, wanted):
            away = abs(actual - wanted)
            excess += away / max(abs(wanted), 1e-9)
            shown = limit.measure.text
            misses.append(f"{limit.measure.name} is {shown(actual)}, {shown(away)} beyond the limit {shown(wanted)}")
    lost = sum("was not measured" in miss for miss in misses) + bool(lacking)
    return Candidate(one.target.name, value, tuple(misses), excess + 1e6 * lost)


def _on(one: TargetResults, words: Iterable[str], devices: Mapping[str, DeviceSpec]) -> bool:
    device = devices.get(one.target.device)
    known = {one.target.device, one.kind, *(device.labels if device else ())}
    return not known.isdisjoint(words)
