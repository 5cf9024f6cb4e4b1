"""What was measured of all targets of a model, in a folder of its own: the evidence that goes with a release."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.errors import StorageError, causes
from edge_pipeline.core.types import Artifact, Failure, Profile, Target, Validation
from edge_pipeline.pipelines.compare.results import TargetResults, targets_on_disk
from edge_pipeline.pipelines.validate.outputs import OUTPUTS

if TYPE_CHECKING:
    from edge_pipeline.datasets.kedro_io import ArtifactDataset, RecordDataset

RECORDS = ("profile", "validation")


def write_evidence(found: Sequence[TargetResults], folder: Path) -> None:
    """Write the results of all targets into `folder`, laid out as the reports of a model.

    A failure takes the place of its result; what a target lacks for another reason is written as the failure of that
    result, so that whoever reads the folder is told why.

    Args:
        found: the targets.
        folder: is made; a target that is there already is replaced.

    Raises:
        StorageError: the disk is full or the folder is not writable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        made = {type(result).__name__.lower(): result for result in one.results if not isinstance(result, Failure)}
        failures = [result for result in one.results if isinstance(result, Failure)]
        why = "; ".join(one.problems) or "it was not measured"
        for name in RECORDS:
            lacking = next(iter(failures), Failure(name, one.target.name, why))
            _record(folder, one.target, name).save(made.get(name, lacking))
        kept = _predictions(folder, one.target)
        if one.predictions is None:
            kept.discard()
        else:
            kept.save(one.predictions)


def read_evidence(folder: Path, model: str) -> list[TargetResults]:
    """Return what `write_evidence` wrote, or what lies among the reports of a model.

    Every file is checked against its hash, and a target's results against each other: they count only if they are of
    one and the same compiled artifact.

    Args:
        folder: with one folder a target.
        model: which the results must be of.

    Raises:
        StorageError: there is no such folder, it holds no target, or it is of another model.
    """
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder} with the results of {model}")
    targets = targets_on_disk(folder, model)
    if not targets:
        raise StorageError(
            f"{folder} holds no results: a folder DEVICE-RUNTIME-PRECISION for each target is expected, with "
            "profile.json and validation.json"
        )
    return [_read(folder, target) for target in targets]


def joined(
    target: Target, kind: str, made: "dict[str, Any]", problems: Sequence[str] = (), model: str = ""
) -> TargetResults:
    """Return the results of a target that were kept apart from its artifacts, if they belong together.

    Args:
        target: which.
        kind: of its device, where the profile does not tell.
        made: `profile`, `validation` and `predictions`; whatever is `None` is missing.
        problems: what else is wrong.
        model: that all of it must be of; the target's if empty.

    Raises:
        StorageError: a result is of another model.
    """
    problems = list(problems)
    for one in made.values():
        if isinstance(one, Profile | Validation) and one.target.partition("@")[0] != (model or target.model):
            raise StorageError(f"these are results of '{one.target}', not of the model '{model or target.model}'")
    compiled = {one.artifact for one in made.values() if isinstance(one, Profile | Validation)}
    if len(compiled) > 1:
        problems.append("profile and validation are of two different artifacts, so neither counts")
        made = {name: one for name, one in made.items() if not isinstance(one, Profile | Validation | Artifact)}
    profile, predictions = made.get("profile"), made.get("predictions")
    if isinstance(profile, Profile):
        kind = kind or profile.device.get("kind", "")
    if isinstance(predictions, Artifact) and not compiled & {predictions.lineage.get("compiled")}:
        predictions = None
        problems.append("the predictions are of another artifact than the results, so they do not count")
    results = tuple(one for name in RECORDS if isinstance(one := made.get(name), Profile | Validation | Failure))
    outputs = predictions if isinstance(predictions, Artifact) else None
    return TargetResults(target, kind, results, outputs, tuple(problems))


def _read(folder: Path, target: Target) -> TargetResults:
    made: dict[str, Any] = {}
    problems = []
    for name in (*RECORDS, "predictions"):
        dataset = _predictions(folder, target) if name == "predictions" else _record(folder, target, name)
        try:
            made[name] = dataset.load()
            if made[name] is None:
                problems.append(f"{name}: not among the results in {folder}")
        except Exception as error:
            damage = next((one for one in causes(error) if isinstance(one, StorageError)), None)
            if damage is None:
                raise
            made[name] = None
            if dataset.exists():
                problems.append(f"{name}: {damage}")
    predictions = made["predictions"]
    if isinstance(predictions, Artifact) and OUTPUTS not in predictions.files:
        made["predictions"] = None
    return joined(target, "", made, problems)


def _record(folder: Path, target: Target, name: str) -> "RecordDataset":
    from edge_pipeline.datasets.kedro_io import RecordDataset

    place = folder / target.slug / f"{name}.json"
    return RecordDataset(str(place), f"edge_pipeline.core.types.{name.capitalize()}", optional=True)


def _predictions(folder: Path, target: Target) -> "ArtifactDataset":
    from edge_pipeline.datasets.kedro_io import ArtifactDataset

    return ArtifactDataset(str(folder / target.slug / "predictions"))
