"""Whether a target is better or worse than another one, or whether the difference may be noise.

Intervals are percentile bootstraps (Efron, 1979) with a fixed seed. Metrics of a task are measured again on resamples
of the test images, the same images for both where both were tested on the same ones. Latencies are resampled in two
steps, first the independent repeats and then the times within each, because the times of one process resemble each
other. So few repeats, mostly two, tell too little of how far processes differ; the interval is therefore at least as
wide as Student's of the repeats' own percentiles.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edge_pipeline.core.errors import StorageError
from edge_pipeline.core.types import Profile, Repeat, Validation
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.compare.selection import numbers
from edge_pipeline.pipelines.gate.measures import Measure
from edge_pipeline.pipelines.validate.outputs import OUTCOMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_pipeline.tasks.outcomes import Outcomes

    Floats = NDArray[Any]

RESAMPLES = 400
"""Number of resamples an interval is made of."""

FEWEST_IMAGES = 20
"""Below this number of test images nothing is said of noise."""

FEWEST_VALID = 0.9
"""Share of the resamples in which a metric must exist: a class may have no object in some of them."""

LATENCIES = {"latency_p50_ms": 50.0, "latency_p90_ms": 90.0, "latency_p99_ms": 99.0}
"""Metrics of a profile of which intervals are known, and their percentiles."""

Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Change:
    """How one metric of a target differs from that of another one.

    Attributes:
        metric: its name.
        before: value of the other one.
        after: value of the target.
        low: lower end of the 95% interval of the difference, of a latency of the quotient; `None` where nothing tells.
        high: its upper end.
        relative: whether the interval is of `after / before`, and not of `after - before`.
        verdict: what the interval says; empty where there is none.
        basis: what the interval is made of, or why there is none.
    """

    metric: str
    before: float
    after: float
    low: float | None
    high: float | None
    relative: bool
    verdict: Verdict | Literal[""]
    basis: str


def changes(mine: TargetResults, other: TargetResults, wanted: Iterable[str] | None = None) -> dict[str, Change]:
    """Return the changes of the metrics that both have, by name.

    Args:
        mine: a target.
        other: the same target of the champion.
        wanted: names; all metrics of the task and all latencies if `None`.
    """
    after, before = numbers(mine), numbers(other)
    names = [name for name in (after if wanted is None else wanted) if name in after and name in before]
    found = {name: _of_latency(name, before[name], after[name], other, mine) for name in names if name in LATENCIES}
    left = [name for name in names if name not in found]
    found |= _of_task(left, mine, other) if left else {}
    return {name: found[name] for name in names}


def interval(one: TargetResults) -> tuple[float, float] | None:
    """Return the 95% interval of the accuracy of one target, `None` where nothing tells.

    Of a proportion, the accuracy of classification, it is Wilson's.
    """
    import numpy as np

    from edge_pipeline.tasks.base import HEADLINE
    from edge_pipeline.tasks.confidence import wilson_95

    kept, validation = outcomes(one), _validation(one)
    if kept is None or validation is None or len(kept.images) < FEWEST_IMAGES:
        return None
    count = len(kept.images)
    if validation.task == "classification":
        return wilson_95(round(kept.metrics(np.ones(count, np.int64))[HEADLINE] * count), count)
    generator = np.random.default_rng(0)
    return _percentiles([kept.metrics(_weights(generator, count)).get(HEADLINE) for _ in range(RESAMPLES)])


def outcomes(one: TargetResults) -> "Outcomes | None":
    """Return what the test images of a target came to; `None` where it is not kept, or damaged."""
    from edge_pipeline.tasks.outcomes import unpack

    validation = _validation(one)
    if validation is None or one.predictions is None or OUTCOMES not in one.predictions.files:
        return None
    try:
        return unpack(one.predictions.files[OUTCOMES], validation.task, validation.classes)
    except StorageError:
        return None


def _of_task(names: Sequence[str], mine: TargetResults, other: TargetResults) -> dict[str, Change]:
    """Return the changes of metrics of the task; only those that can be measured on a resample have an interval."""
    import numpy as np

    sides = [outcomes(one) for one in (other, mine)]
    values = [numbers(one) for one in (other, mine)]
    before, after = sides

    def unknown(why: str) -> dict[str, Change]:
        return {name: Change(name, values[0][name], values[1][name], None, None, False, "", why) for name in names}

    if before is None or after is None:
        return unknown("the outcomes of single test images are not kept of both")
    paired = _same_dataset(mine, other)
    if paired:
        common, places, others = np.intersect1d(before.images, after.images, return_indices=True)
        if len(common) < FEWEST_IMAGES:
            return unknown(f"only {len(common)} test images are common to both, at least {FEWEST_IMAGES} are needed")
        before, after = before.take(places), after.take(others)
    counts = (len(before.images), len(after.images))
    if min(counts) < FEWEST_IMAGES:
        return unknown(f"there are only {min(counts)} test images, at least {FEWEST_IMAGES} are needed")
    generator = np.random.default_rng(0)
    pairs = []
    for _ in range(RESAMPLES):
        weights = _weights(generator, counts[0])
        again = weights if paired else _weights(generator, counts[1])
        pairs.append((before.metrics(weights), after.metrics(again)))
    whole = [one.metrics(np.ones(len(one.images), np.int64)) for one in (before, after)]
    basis = f"{RESAMPLES} resamples of " + (
        f"the same {counts[0]} test images" if paired else f"{counts[1]} test images, the other one's are others"
    )
    found = {}
    for name in names:
        ends = _percentiles([b[name] - a[name] if name in a and name in b else None for a, b in pairs])
        if ends is None or any(name not in one for one in whole):
            why = "too few test images show it" if any(name in a for a, _ in pairs) else "nothing tells its noise"
            found[name] = Change(name, values[0][name], values[1][name], None, None, False, "", why)
            continue
        higher = Measure(name, "").higher_is_better
        found[name] = Change(name, whole[0][name], whole[1][name], *ends, False, _verdict(*ends, 0.0, higher), basis)
    return found


def _of_latency(name: str, before: float, after: float, other: TargetResults, mine: TargetResults) -> Change:
    import numpy as np

    percentile = LATENCIES[name]
    repeats = [_repeats(one) for one in (other, mine)]
    if not all(repeats) or not before > 0:
        return Change(name, before, after, None, None, True, "", "the single times are not kept of both")
    generator = np.random.default_rng(0)
    drawn = [_resampled(one, percentile, generator) for one in repeats]
    low, high = np.percentile(drawn[1] / drawn[0], [2.5, 97.5])
    few = min(map(len, repeats))
    basis = f"{RESAMPLES} resamples of the times of one process; how far processes differ is not known"
    if few > 1:
        least, most = _between(repeats[0], repeats[1], percentile)
        low, high = min(low, least), max(high, most)
        basis = f"{RESAMPLES} resamples of {few} repeats and the times within each, and how far the repeats differ"
    return Change(name, before, after, float(low), float(high), True, _verdict(low, high, 1.0, False), basis)


def _between(before: Sequence[Repeat], after: Sequence[Repeat], percentile: float) -> tuple[float, float]:
    """Return Student's 95% interval of the quotient of percentiles, each repeat of both sides being one observation."""
    import numpy as np
    from scipy.stats import t

    sides = [np.log([max(np.percentile(one.samples_ms, percentile), 1e-9) for one in side]) for side in (before, after)]
    freedom = sum(map(len, sides)) - 2
    variance = sum(((side - side.mean()) ** 2).sum() for side in sides) / freedom
    away = t.ppf(0.975, freedom) * np.sqrt(variance * sum(1 / len(side) for side in sides))
    middle = sides[1].mean() - sides[0].mean()
    return float(np.exp(middle - away)), float(np.exp(min(middle + away, 700.0)))


def _resampled(repeats: Sequence[Repeat], percentile: float, generator: Any) -> "Floats":
    """Return the percentile of each resample."""
    import numpy as np

    times = [np.asarray(one.samples_ms) for one in repeats]
    found = []
    for _ in range(RESAMPLES):
        chosen = [times[i] for i in generator.integers(0, len(times), len(times))]
        found.append(np.percentile(np.concatenate([generator.choice(one, len(one)) for one in chosen]), percentile))
    return np.asarray(found)


def _repeats(one: TargetResults) -> tuple[Repeat, ...]:
    profile = next((result for result in one.results if isinstance(result, Profile)), None)
    return tuple(repeat for repeat in profile.repeats if repeat.samples_ms) if profile else ()


def _verdict(low: float, high: float, same: float, higher: bool) -> Verdict:
    if low <= same <= high:
        return "no difference shown"
    return "better" if (low > same) == higher else "worse"


def _percentiles(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the ends of the middle 95%; `None` where too few resamples have a value."""
    import numpy as np

    known = [one for one in values if one is not None]
    if len(known) < FEWEST_VALID * len(values):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _weights(generator: Any, count: int) -> "Floats":
    import numpy as np

    return np.bincount(generator.integers(0, count, count), minlength=count)


def _validation(one: TargetResults) -> Validation | None:
    return next((result for result in one.results if isinstance(result, Validation)), None)


def _same_dataset(mine: TargetResults, other: TargetResults) -> bool:
    """Return whether the indices of the images mean the same."""
    hashes = [one.lineage.get("dataset") if (one := _validation(side)) else None for side in (mine, other)]
    return None not in hashes and hashes[0] == hashes[1]
