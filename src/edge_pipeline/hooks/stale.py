"""Find results that were made from something that has been made anew since."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_pipeline.core.errors import StorageError, causes
from edge_pipeline.core.types import Artifact, Failure, Target


def discard_stale(catalog: Any, model: str, targets: Sequence[Target]) -> list[str]:
    """Delete damaged results and results of older parents, so that `--only-missing-outputs` makes them again.

    The reports of a model whose results are not complete are deleted with them.

    Returns:
        Names of the results that were deleted.
    """
    discarded: list[str] = []
    complete = True

    def visit(name: str, known: dict[str, str | None]) -> Any:
        found = _load(catalog, f"{model}.{name}")
        if isinstance(found, StorageError) or (found is not None and not _fresh(found, known)):
            catalog.get(f"{model}.{name}").discard()
            discarded.append(f"{model}.{name}")
            return None
        return found

    def note(found: Any, kind: str, known: dict[str, str | None]) -> dict[str, str | None]:
        return {**known, kind: found.hash if isinstance(found, Artifact) else None}

    split = visit("split", {})
    weights = visit("weights", {"dataset": split.dataset_hash if split else None})
    root = note(weights, "weights", {})
    for precision in dict.fromkeys(target.precision for target in targets):
        known = root
        if f"{model}.{precision}.simulation" in catalog and precision != "float":
            known = note(visit(f"{precision}.simulation", known), "simulation", known)
        known = note(visit(f"{precision}.exported", known), "exported", known)
        for target in targets:
            if target.precision is precision:
                mine = note(visit(f"{target.slug}.compiled", known), "compiled", known)
                for kind in ("profile", "validation", "predictions"):
                    complete &= visit(f"{target.slug}.{kind}", mine) is not None
    if not complete:
        for report in ("scorecard", "quality", "latency", "placement"):
            Path(catalog.get(f"{model}.{report}")._describe()["filepath"]).unlink(missing_ok=True)
    return discarded


def _fresh(found: Any, known: dict[str, str | None]) -> bool:
    lineage = found.parents if isinstance(found, Artifact) else getattr(found, "lineage", {})
    return all(lineage.get(kind) == value for kind, value in known.items())


def _load(catalog: Any, name: str) -> Any:
    """Return the result, `None` if there is none, or the error if it is damaged."""
    if not catalog.exists(name):
        return None
    try:
        found = catalog.load(name)
    except Exception as error:
        damage = next((one for one in causes(error) if isinstance(one, StorageError)), None)
        if damage is None:
            raise
        return damage
    return None if isinstance(found, Failure) else found
