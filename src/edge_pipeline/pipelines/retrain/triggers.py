"""What makes a model be trained again, each with its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_pipeline.pipelines.retrain.drift import Shift
from edge_pipeline.pipelines.retrain.schedule import DriftSpec, NewDataSpec


@dataclass(frozen=True)
class Trigger:
    """One trigger: its name, what was found, and whether that is enough. `numbers` are logged."""

    name: str
    found: str
    fires: bool
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}: {self.found}: {'fires' if self.fires else 'does not fire'}"


def first(has_champion: bool) -> Trigger:
    """Fire when nothing was released yet."""
    return Trigger("champion", "there is one" if has_champion else "none yet", not has_champion)


def new_data(samples: int, broken: int, spec: NewDataSpec) -> Trigger:
    """Fire on enough samples that no training was made on."""
    more = f" (broken files: {broken})" if broken else ""
    found = f"{samples} of {spec.min_samples} samples{more}"
    return Trigger("new_data", found, samples >= spec.min_samples, {"new_samples": samples, "broken_files": broken})


def age(days: float | None, most: float) -> Trigger:
    """Fire when the champion is too old; not without one."""
    if days is None:
        return Trigger("max_age_days", "no champion", False)
    return Trigger("max_age_days", f"{days:.1f} of {most:g} days", days >= most, {"champion_age_days": days})


def drift(kind: str, shifts: Sequence[Shift], samples: int, spec: DriftSpec) -> Trigger:
    """Fire when a quantity moved beyond the threshold and chance does not explain it."""
    drifted = [one for one in shifts if one.drifted(spec)]
    told = (drifted or list(shifts))[0]
    found = (
        f"{told.quantity} moved by {told.distance:.3f} (threshold {spec.threshold:g}), p = {told.probability:.2g} "
        f"(significance {spec.significance:g}), {samples} samples"
    )
    numbers = {f"drift_{kind}_{one.quantity}": one.distance for one in shifts}
    return Trigger(f"drift.{kind}", found, bool(drifted), numbers)


def no_drift(kind: str, why: str) -> Trigger:
    """Return a trigger that cannot be judged, and why; it does not fire."""
    return Trigger(f"drift.{kind}", why, False)
