"""Read what was measured of a model from disk, and tell what cannot be used of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import StorageError, causes
from edge_pipeline.core.types import Artifact, Failure, Precision, Profile, RuntimeName, Target, Validation
from edge_pipeline.pipelines.validate.outputs import OUTPUTS


@dataclass(frozen=True)
class TargetResults:
    """What is on disk of one target.

    Attributes:
        target: which.
        kind: of its device; empty where nothing tells.
        results: profile and validation, or the failures in their place.
        predictions: with the outputs for the reference images; `None` where they cannot be used.
        problems: what is missing, outdated or damaged, and why.
    """

    target: Target
    kind: str
    results: tuple[Profile | Validation | Failure, ...]
    predictions: Artifact | None
    problems: tuple[str, ...]

    @property
    def measured(self) -> bool:
        """Whether there is any number."""
        return any(not isinstance(one, Failure) for one in self.results)


def read(catalog: Any, model: str, targets: Sequence[Target], kinds: Mapping[str, str]) -> list[TargetResults]:
    """Return what is on disk of `targets`, and of others of the model that another environment has measured.

    A result counts only if the artifacts that it was made from are those on disk.

    Args:
        catalog: Kedro's catalog of the project.
        model: which.
        targets: those that are configured now.
        kinds: kind of each device that is configured now.
    """
    folder = Path(catalog.get(f"{model}.scorecard")._describe()["filepath"]).parent
    others = [target for target in targets_on_disk(folder, model) if target not in targets]
    parents: dict[str, str | None] = {}
    return [_read(catalog, target, parents, kinds.get(target.device, "")) for target in (*targets, *others)]


def targets_on_disk(folder: Path, model: str) -> list[Target]:
    """Return the targets that have a result among the model's reports."""
    found = []
    for place in sorted(folder.glob("*-*-*")):
        device, runtime, precision = place.name.split("-", 2)
        if runtime in tuple(RuntimeName) and precision in tuple(Precision) and any(place.glob("*.json")):
            found.append(Target(model, device, RuntimeName(runtime), Precision(precision)))
    return found


def _read(catalog: Any, target: Target, parents: dict[str, str | None], kind: str) -> TargetResults:
    owner = f"{target.model}.{target.slug}"
    present = {
        "weights": _hash(catalog, f"{target.model}.weights", parents),
        "exported": _hash(catalog, f"{target.model}.{target.precision}.exported", parents),
        "compiled": _hash(catalog, f"{owner}.compiled", parents),
    }
    made = {name: _load(catalog, f"{owner}.{name}") for name in ("profile", "validation", "predictions")}
    if isinstance(made["profile"], Profile):
        kind = kind or made["profile"].device.get("kind", "")
    reasons = {name: _unusable(one, present) for name, one in made.items()}
    problems = [
        f"{', '.join(name for name, one in reasons.items() if one == reason)}: {reason}"
        for reason in dict.fromkeys(reasons.values())
        if reason
    ]
    usable = {name: one for name, one in made.items() if not reasons[name]}
    predictions = usable.pop("predictions", None)
    if isinstance(predictions, Artifact) and OUTPUTS not in predictions.files:
        predictions = None
        problems.append("predictions: no outputs are kept in them; `kedro run --tags validate` makes them again")
    outputs = predictions if isinstance(predictions, Artifact) else None
    return TargetResults(target, kind, tuple(usable.values()), outputs, tuple(problems))


def _unusable(result: Any, present: Mapping[str, str | None]) -> str:
    """Return why `result` does not count: it is absent, damaged, or made from artifacts that are not those on disk."""
    if isinstance(result, StorageError):
        return str(result)
    if result is None:
        return "not measured yet"
    if isinstance(result, Failure):
        return ""
    for kind, now in present.items():
        if now is None:
            return f"outdated, the {kind} artifact it was made from is not on disk any more"
        if result.lineage.get(kind) != now:
            return f"outdated, there is a newer {kind} artifact than the one it was made from"
    return ""


def _hash(catalog: Any, name: str, known: dict[str, str | None]) -> str | None:
    """Return the hash of an artifact, `None` if it is absent or damaged; each is read once."""
    if name not in known:
        found = _load(catalog, name)
        known[name] = found.hash if isinstance(found, Artifact) else None
    return known[name]


def _load(catalog: Any, name: str) -> Any:
    """Return what is on disk, the `Failure` in its place, `None`, or the error if it is damaged."""
    try:
        return catalog.load(name)
    except Exception as error:
        damage = next((one for one in causes(error) if isinstance(one, StorageError)), None)
        if damage is None:
            raise
        return damage if catalog.exists(name) else None
