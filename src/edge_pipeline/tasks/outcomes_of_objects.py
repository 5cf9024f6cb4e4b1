"""The outcomes of detection and instance segmentation: which prediction meets a labelled object, at each IoU threshold.

Matching is done once. The average precision of any resample of the images then takes a weighted sum over predictions in
the order of their scores (Lin et al., COCO, 2014).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.tasks.base import Prediction, Truth
from edge_pipeline.tasks.outcomes import Columns, Outcomes, Recorder

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
KEPT = 100
"""Number of the best predictions of a class in an image that count."""

_BITS = 1 << np.arange(len(THRESHOLDS))


class Objects(Recorder):
    """Of every prediction its score and the thresholds at which it meets an object; of every object its class."""

    def __init__(self, classes: Sequence[str], *, masks: bool) -> None:
        super().__init__(classes)
        self._masks = masks
        self._predictions: list[tuple[int, int, float, int, int]] = []
        self._objects: list[NDArray[np.int64]] = []

    def add(self, index: int, prediction: Prediction, truth: Truth) -> None:
        """Keep one image."""
        assert isinstance(prediction, Instances)
        place = len(self.images)
        self.images.append(index)
        self._objects.append(np.bincount(truth.classes[~truth.crowd], minlength=len(self.classes)))
        for k in np.unique(prediction.classes).tolist():
            found = prediction.take(prediction.classes == k)
            found = found.take(np.argsort(-found.scores, kind="stable")[:KEPT])
            labelled = truth.take(truth.classes == k)
            labelled = labelled.take(np.argsort(labelled.crowd, kind="stable"))
            met, ignored = _matches(_overlaps(found, labelled, self._masks), labelled.crowd)
            bits = zip(found.scores.tolist(), (met @ _BITS).tolist(), (ignored @ _BITS).tolist(), strict=True)
            self._predictions += [(place, k, score, *both) for score, *both in bits]

    def columns(self) -> Columns:
        """Return `place`, `class`, `score`, `met`, `ignored` of each prediction, and `objects` (n, classes)."""
        rows = list(zip(*self._predictions, strict=True)) or [()] * 5
        kinds = {"place": np.int32, "class": np.int32, "score": np.float32, "met": np.uint16, "ignored": np.uint16}
        columns: dict[str, NDArray[Any]] = {
            name: np.asarray(row, kind) for (name, kind), row in zip(kinds.items(), rows, strict=True)
        }
        shape = (len(self.images), len(self.classes))
        return {**columns, "objects": np.asarray(self._objects, np.int32).reshape(shape)}


class ObjectOutcomes(Outcomes):
    """Mean average precision, and that of every class."""

    def metrics(self, weights: NDArray[np.int64]) -> dict[str, float]:
        """Return `accuracy`, `map50_95`, `map50`, `ap_<class>` and `ap50_<class>`, with masks named `mask_...`."""
        objects = weights @ self.columns["objects"]
        found = {
            name: _precision(weights, total, *self._of_class[k])
            for k, (name, total) in enumerate(zip(self.classes, objects.tolist(), strict=True))
            if total
        }
        if not found:
            return {}
        mean = np.mean(list(found.values()), axis=0)
        named = {"map50_95": mean.mean(), "map50": mean[0]}
        named |= {f"ap_{name}": one.mean() for name, one in found.items()}
        named |= {f"ap50_{name}": one[0] for name, one in found.items()}
        prefix = "mask_" if self.columns["masks"] else ""
        return {"accuracy": float(mean.mean()), **{f"{prefix}{key}": float(one) for key, one in named.items()}}

    def take(self, places: NDArray[np.int64]) -> "ObjectOutcomes":
        """Return those of some images."""
        new = np.full(len(self.images), -1)
        new[places] = np.arange(len(places))
        kept = new[self.columns["place"]] >= 0
        order = np.argsort(new[self.columns["place"]][kept], kind="stable")
        columns = {name: self.columns[name][kept][order] for name in ("class", "score", "met", "ignored")}
        columns["place"] = new[self.columns["place"]][kept][order]
        columns |= {"objects": self.columns["objects"][places], "masks": self.columns["masks"]}
        return ObjectOutcomes(self.classes, self.images[places], columns)

    @cached_property
    def _of_class(self) -> list[tuple[NDArray[Any], ...]]:
        """Of each class, sorted by score: places; where one counts at some threshold; met and missed of these."""
        met, ignored = ((self.columns[name].astype(np.int64)[None] & _BITS[:, None]) > 0 for name in ("met", "ignored"))
        order = np.argsort(-self.columns["score"], kind="stable")
        made: list[tuple[NDArray[Any], ...]] = []
        for k in range(len(self.classes)):
            mine = order[self.columns["class"][order] == k]
            special = np.flatnonzero((met | ignored)[:, mine].any(0))
            hits = (met & ~ignored)[:, mine][:, special]
            misses = (~met & ~ignored)[:, mine][:, special]
            plain = np.ones(len(mine), np.bool_)
            plain[special] = False
            made.append((self.columns["place"][mine], plain, special, hits, misses))
        return made


def _precision(
    weights: NDArray[np.int64],
    objects: int,
    places: NDArray[Any],
    plain: NDArray[np.bool_],
    special: NDArray[np.int64],
    hits: NDArray[np.bool_],
    misses: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the average precision (thresholds,) of one class.

    The envelope of the precision rises only where a prediction meets an object, so it is taken at those alone.
    """
    if not len(special):
        return np.zeros(len(THRESHOLDS))
    count = weights[places]
    false = np.cumsum(count * plain)[special]
    true = np.cumsum(hits * count[special], axis=1)
    precision = true / np.maximum(true + np.cumsum(misses * count[special], axis=1) + false, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.concatenate([envelope, np.zeros((len(envelope), 1))], axis=1)
    recall = true / objects
    found = [line[np.searchsorted(r, RECALLS, side="left")].mean() for r, line in zip(recall, envelope, strict=True)]
    return np.asarray(found)


def _overlaps(found: Instances, labelled: Instances, masks: bool) -> NDArray[np.float64]:
    """Return the IoU (predictions, objects) as COCO defines it: of a crowd, the share of the prediction within."""
    from faster_coco_eval.core import mask

    if not len(found) or not len(labelled):
        return np.zeros((len(found), len(labelled)))
    sides: list[Any] = []
    for one in (found, labelled):
        boxes = one.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        sides.append([dict(rle) for rle in one.masks or ()] if masks else boxes)
    overlaps: NDArray[np.float64] = np.asarray(mask.iou(*sides, labelled.crowd.astype(int).tolist()))
    return overlaps


def _matches(overlaps: NDArray[np.float64], crowd: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Match predictions, the best first, with objects, crowds last; return matched and ignored (predictions, t)."""
    met = np.zeros((len(overlaps), len(THRESHOLDS)), np.bool_)
    ignored = met.copy()
    close = np.flatnonzero((overlaps >= THRESHOLDS[0]).any(1))
    for t, threshold in enumerate(THRESHOLDS):
        free = np.ones(overlaps.shape[1], np.bool_)
        for i in close:
            for group in (~crowd & free, crowd):
                best = np.where(group, overlaps[i], -1.0)
                if len(best) and best.max() >= min(threshold, 1 - 1e-10):
                    # Of equal overlaps the last one is taken, as COCO's evaluation does.
                    j = len(best) - 1 - int(best[::-1].argmax())
                    met[i, t], ignored[i, t] = True, crowd[j]
                    free[j] = bool(crowd[j])
                    break
    return met, ignored
