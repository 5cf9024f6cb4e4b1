"""Drift: whether new samples are others than those a model was trained on, by SciPy's two-sample tests."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import RetrainError
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.pipelines.retrain.schedule import DriftSpec

MOST = 500
"""Samples of each side that are looked at, drawn with a fixed seed."""
LARGEST = 2**26
"""Bytes of a file of predictions."""
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Shift:
    """How far one quantity moved: a distance of 0 to 1, and the probability that chance alone does that.

    The probability is corrected for the number of quantities that were looked at (Bonferroni).
    """

    quantity: str
    distance: float
    probability: float

    def drifted(self, spec: DriftSpec) -> bool:
        """Whether it is beyond what the schedule allows."""
        return self.distance >= spec.threshold and self.probability < spec.significance


def some(count: int) -> list[int]:
    """Return at most `MOST` indices below `count`, in rising order, always the same."""
    if count <= MOST:
        return list(range(count))
    return sorted(np.random.default_rng(0).choice(count, MOST, replace=False).tolist())


def figures(picture: Picture) -> dict[str, float]:
    """Return brightness, contrast and sharpness (mean step between neighbours) of a picture, and each colour's mean.

    All are of 0 to 255; colours as their share beyond the brightness.
    """
    pixels = picture.astype(np.float32)
    grey = pixels.mean(2)
    steps = [np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1) if grey.shape[axis] > 1]
    found = {"brightness": grey.mean(), "contrast": grey.std(), "sharpness": np.mean(steps) if steps else 0.0}
    if picture.shape[2] == 3:
        found |= {name: pixels[:, :, i].mean() - grey.mean() for i, name in enumerate(_CHANNELS)}
    return {name: float(value) for name, value in found.items()}


def shifts_of_pictures(reference: Iterable[Picture], new: Iterable[Picture]) -> list[Shift]:
    """Return the shift of every figure of the pictures, the largest first (Kolmogorov-Smirnov, two samples)."""
    sides = [[figures(one) for one in side] for side in (reference, new)]
    names = list(sides[0][0])
    columns = {name: [np.asarray([one[name] for one in side]) for side in sides] for name in names}
    return _sorted([_distributions(name, both[0], both[1], len(names)) for name, both in columns.items()])


@dataclass(frozen=True)
class Predicted:
    """What a model said of many pictures: the class and the score of every object or picture."""

    classes: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, predictions: Iterable[Any]) -> "Predicted":
        """Gather probabilities (classification) or `Instances` (detection)."""
        classes: list[int] = []
        scores: list[float] = []
        for one in predictions:
            if isinstance(one, Instances):
                classes += [int(label) for label in one.classes]
                scores += [] if one.scores is None else [float(score) for score in one.scores]
            else:
                probabilities = np.asarray(one)
                classes.append(int(probabilities.argmax()))
                scores.append(float(probabilities.max()))
        return cls(np.asarray(classes, np.int64), np.asarray(scores, np.float64))


def shifts_of_predictions(reference: Predicted, new: Predicted, classes: Sequence[str]) -> list[Shift]:
    """Return the shifts of the classes' shares (chi-squared, total variation) and of the scores, the largest first.

    A side on which the model found nothing at all has drifted wholly, unless both have nothing.
    """
    from scipy.stats import chi2_contingency

    if not len(reference.classes) or not len(new.classes):
        same = len(reference.classes) == len(new.classes)
        return [Shift("classes", 0.0 if same else 1.0, 1.0 if same else 0.0)]
    table = np.stack([np.bincount(one.classes, minlength=len(classes)) for one in (reference, new)])
    shares = table / table.sum(1, keepdims=True)
    seen = table[:, table.sum(0) > 0]
    probability = float(chi2_contingency(seen).pvalue) if seen.shape[1] > 1 else 1.0
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    return _sorted(
        [
            Shift("classes", distance, min(1.0, 2 * probability)),
            _distributions("scores", reference.scores, new.scores, 2),
        ]
    )


def read_predictions(place: str, classes: Sequence[str]) -> Predicted:
    """Read predictions made on devices: JSON lines, each with `class` (name or number) and `score` (0 to 1).

    Raises:
        RetrainError: the file cannot be read, is too large, or a line is wrong.
    """
    from edge_pipeline.datasets import files

    try:
        with files.open_file(files.location(place)) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise RetrainError(f"cannot read the predictions {place}: {error}. Correct `drift.on_device`.") from error
    if len(content) > LARGEST:
        raise RetrainError(f"the predictions {place} are larger than {LARGEST // 2**20} MiB; keep the last days only")
    found: list[tuple[int, float]] = []
    for number, line in enumerate(io.BytesIO(content), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            label, score = entry["class"], float(entry["score"])
            index = classes.index(label) if isinstance(label, str) else int(label)
            if not (0 <= index < len(classes) and 0 <= score <= 1):
                raise ValueError("a class of the model and a score of 0 to 1 are expected")
        except (ValueError, KeyError, TypeError) as error:
            raise RetrainError(
                f"{place}, line {number}: {error} ({line[:60]!r}); a line is for example "
                '{"class": "car", "score": 0.91}'
            ) from error
        found.append((index, score))
    return Predicted(np.asarray([one for one, _ in found], np.int64), np.asarray([one for _, one in found]))


def _distributions(name: str, reference: NDArray[Any], new: NDArray[Any], quantities: int) -> Shift:
    from scipy.stats import ks_2samp

    if not len(reference) or not len(new):
        return Shift(name, 0.0, 1.0)
    result = ks_2samp(reference, new, method="auto")
    return Shift(name, float(result.statistic), min(1.0, quantities * float(result.pvalue)))


def _sorted(shifts: list[Shift]) -> list[Shift]:
    return sorted(shifts, key=lambda one: -one.distance)


def as_report(shifts: Sequence[Shift]) -> list[Mapping[str, Any]]:
    """Return shifts as plain values."""
    return [{"quantity": one.quantity, "distance": one.distance, "probability": one.probability} for one in shifts]
