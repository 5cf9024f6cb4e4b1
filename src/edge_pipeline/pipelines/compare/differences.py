"""By how much the outputs of one exported model differ between devices and runtimes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

from edge_pipeline.core.interface import ClassMap, Interface, Logits
from edge_pipeline.core.types import Artifact, Precision
from edge_pipeline.pipelines.compare.results import TargetResults
from edge_pipeline.pipelines.validate.outputs import kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Compared = list[tuple[str, NDArray[Any], NDArray[Any]]]

TOLERANCE_DB = {Precision.FLOAT: 60.0, Precision.FLOAT16: 40.0}
"""Engines that compute the same network may round differently; below this agreement they differ noticeably."""

TOLERANCE_QUANTIZED_DB = 24.0
"""The same for integers: about the noise of quantization itself."""

WORST = 3
"""Number of samples that are named."""


@dataclass(frozen=True)
class Difference:
    """How far the outputs of `second` are from those of `first`, for the same reference images.

    Attributes:
        first: name of a target.
        second: name of another target of the same exported model.
        samples: number of images.
        sqnr_db: agreement of the output that agrees least, in dB, with `first` as the signal.
        output: name of that output.
        max_difference: largest absolute difference of any two numbers.
        top1_agreement: share of the images, of a label map of the pixels, with the same class; `None` for other tasks.
        worst: the samples that agree least: index into the dataset, and dB.
        tolerance_db: agreement below which the difference is noticeable.
    """

    first: str
    second: str
    samples: int
    sqnr_db: float
    output: str
    max_difference: float
    top1_agreement: float | None
    worst: tuple[tuple[int, float], ...]
    tolerance_db: float

    @property
    def beyond(self) -> bool:
        """Whether the outputs differ beyond tolerance."""
        return self.sqnr_db < self.tolerance_db


def differences(found: Sequence[TargetResults], tolerance_db: float | None = None) -> list[Difference]:
    """Compare all targets made from the same exported model, pair by pair; those that differ most come first.

    Args:
        found: the targets; those without outputs are left out.
        tolerance_db: for all precisions, instead of `TOLERANCE_DB` and `TOLERANCE_QUANTIZED_DB`.
    """
    pairs = []
    for a, b in combinations([one for one in found if one.predictions is not None], 2):
        assert a.predictions and b.predictions
        if a.predictions.parents["exported"] == b.predictions.parents["exported"]:
            usual = TOLERANCE_DB.get(a.target.precision, TOLERANCE_QUANTIZED_DB)
            limit = usual if tolerance_db is None else tolerance_db
            pairs.append(_difference(a.target.name, a.predictions, b.target.name, b.predictions, limit))
    return sorted(pairs, key=lambda one: one.sqnr_db - one.tolerance_db)


def differences_table(found: Sequence[Difference]) -> Any:
    """Return a data frame with one row a pair; a number that is not finite is `None`."""
    import pandas as pd

    columns = [field.name for field in fields(Difference)]
    table = pd.DataFrame([asdict(one) for one in found], columns=columns, dtype=object)
    table["max_difference"] = [one.max_difference if math.isfinite(one.max_difference) else None for one in found]
    table["worst"] = [worst_samples(one) for one in found]
    table["beyond_tolerance"] = [one.beyond for one in found]
    return table


def worst_samples(difference: Difference) -> str:
    """Return the samples that agree least, as index into the dataset with dB: `412 (12.1 dB), 98 (13.0 dB)`."""
    return ", ".join(f"{index} ({db:.1f} dB)" for index, db in difference.worst)


def _difference(first: str, of_first: Artifact, second: str, of_second: Artifact, tolerance_db: float) -> Difference:
    import numpy as np

    interface = Interface.model_validate(of_first.details["interface"])
    rows = min(len(of_first.details["outputs"]), len(of_second.details["outputs"]))
    images = of_first.details["outputs"][:rows]
    compared = [
        (tensor.name, a[:rows].astype(np.float64), b[:rows].astype(np.float64))
        for tensor, a, b in zip(interface.outputs, kept(of_first), kept(of_second), strict=True)
        if tensor.name != "class_idx"
    ]
    sqnr, output = _least(compared)
    single = [(_least([(name, a[i], b[i]) for name, a, b in compared])[0], images[i]) for i in range(rows)]
    agreement = None
    if isinstance(interface.postprocessing, Logits | ClassMap):
        _, a, b = compared[0]
        agreement = float((a.argmax(1) == b.argmax(1)).mean())
    with np.errstate(invalid="ignore"):
        largest = max(float(np.abs(a - b).max()) for _, a, b in compared)
    worst = tuple((index, db) for db, index in sorted(single)[:WORST])
    return Difference(first, second, rows, sqnr, output, largest, agreement, worst, tolerance_db)


def _least(compared: "Compared") -> tuple[float, str]:
    """Return dB and name of the output that agrees least; numbers that are not finite agree with nothing."""
    import numpy as np

    from edge_pipeline.core.numerics import IDENTICAL_DB, sqnr_db

    with np.errstate(all="ignore"):
        found = [(sqnr_db(a, b), name) for name, a, b in compared]
    return min((db if math.isfinite(db) else -IDENTICAL_DB, name) for db, name in found)
