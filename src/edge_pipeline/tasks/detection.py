"""Object detection and instance segmentation: mean average precision as COCO defines it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError, ModelError
from edge_pipeline.tasks.base import Prediction, Truth

SIZES = ("small", "medium", "large")
"""Areas of objects in pixels: below 32^2, to 96^2, above."""

GROUP = 100_000
"""Predictions that are measured at a time, so that large test sets stay below some 300 MB."""


class Detection:
    """Average precision over classes and IoU thresholds 0.50, 0.55 ... 0.95, of boxes, and of masks if `masks` is set.

    Labels marked as crowd count neither for nor against a prediction. The area of an object is its mask's, or its box's
    where there is no mask. Only the 100 best predictions of a class in an image count (Lin et al., COCO, 2014).
    """

    def __init__(self, classes: Sequence[str], *, masks: bool) -> None:
        self._classes = tuple(classes)
        self._masks = masks
        self._pairs: list[tuple[Instances, Instances]] = []
        self._curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def add(self, prediction: Prediction, truth: Truth) -> None:
        """Count one picture: predicted and labelled objects, both in the frame of the picture.

        Raises:
            ModelError: the prediction is of another size, names an unknown class, or lacks masks.
            DatasetError: a label names an unknown class, or lacks masks.
        """
        for found, who, error in ((prediction, "prediction", ModelError), (truth, "label", DatasetError)):
            if not isinstance(found, Instances):
                raise error(f"a {who} is {type(found).__name__}, not Instances (boxes, classes, scores)")
            if len(found) and not 0 <= found.classes.min() <= found.classes.max() < len(self._classes):
                wrong = next(int(c) for c in found.classes if not 0 <= c < len(self._classes))
                raise error(f"a {who} has the class {wrong}, but there are {len(self._classes)} classes, from 0")
            if self._masks and found.masks is None and len(found):
                raise error(f"a {who} has boxes only; instance segmentation needs a mask for every object")
        assert isinstance(prediction, Instances)
        if prediction.size != truth.size:
            raise ModelError(f"the prediction is for {prediction.size} (h, w) pixels, the labels are for {truth.size}")
        self._pairs.append((prediction, truth))
        self._curves.clear()

    def metrics(self) -> dict[str, float]:
        """Return the mean average precision and its parts; what has no labelled objects is absent.

        Of boxes: `map50_95`, `map50`, `map75`, `map_small`, `map_medium`, `map_large`, `recall_100` (mean over the
        thresholds, with 100 predictions an image and class), `ap_<class>`, `ap50_<class>`; `accuracy` is `map50_95`.
        With masks all these are of masks and begin with `mask_`, and of boxes there are `map50_95` and `map50`;
        `accuracy` is `mask_map50_95`.

        Raises:
            DatasetError: there are no labelled objects.
        """
        if not self._masks:
            boxes = self._summary("bbox")
            return {"accuracy": boxes["map50_95"], **boxes}
        masks = {f"mask_{key}": value for key, value in self._summary("segm").items()}
        precision, _ = self._evaluated("bbox")
        return {
            "accuracy": masks["mask_map50_95"],
            **masks,
            **_known({"map50_95": precision[:, :, :, 0], "map50": precision[0, :, :, 0]}),
        }

    def details(self) -> dict[str, Any]:
        """Return `samples`, and by class how many `objects` and `predictions` there are, `ap` and `ap50` if known."""
        precision, _ = self._evaluated("segm" if self._masks else "bbox")
        objects = self._histogram([truth.classes[~truth.crowd] for _, truth in self._pairs])
        predictions = self._histogram([found.classes for found, _ in self._pairs])
        return {
            "samples": len(self._pairs),
            "classes": {
                name: {
                    "objects": int(objects[k]),
                    "predictions": int(predictions[k]),
                    **_known({"ap": precision[:, :, k, 0], "ap50": precision[0, :, k, 0]}),
                }
                for k, name in enumerate(self._classes)
            },
        }

    def _summary(self, kind: str) -> dict[str, float]:
        precision, recall = self._evaluated(kind)
        return _known(
            {
                "map50_95": precision[:, :, :, 0],
                "map50": precision[0, :, :, 0],
                "map75": precision[5, :, :, 0],
                **{f"map_{size}": precision[:, :, :, a] for a, size in enumerate(SIZES, start=1)},
                "recall_100": recall[:, :, 0],
                **{f"ap_{name}": precision[:, :, k, 0] for k, name in enumerate(self._classes)},
                **{f"ap50_{name}": precision[0, :, k, 0] for k, name in enumerate(self._classes)},
            }
        )

    def _evaluated(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return precision (thresholds, recalls, classes, areas) and recall (thresholds, classes, areas), -1: none."""
        if not any((~truth.crowd).any() for _, truth in self._pairs):
            raise DatasetError("these pictures have no labelled objects, so there is nothing to measure")
        if kind not in self._curves:
            curves = [_curves(self._of_classes(group), group, kind) for group in self._groups()]
            precision, recall = zip(*curves, strict=True)
            self._curves[kind] = (np.concatenate(precision, 2), np.concatenate(recall, 1))
        return self._curves[kind]

    def _groups(self) -> list[NDArray[np.int64]]:
        """Split the classes: each is measured for itself, and COCO's evaluation takes 2 kB for every prediction."""
        predictions = self._histogram([found.classes for found, _ in self._pairs])
        places = np.cumsum(predictions) // GROUP
        return [np.flatnonzero(places == place) for place in np.unique(places)]

    def _of_classes(self, group: NDArray[np.int64]) -> list[tuple[Instances, Instances]]:
        return [
            (found.take(np.isin(found.classes, group)), truth.take(np.isin(truth.classes, group)))
            for found, truth in self._pairs
        ]

    def _histogram(self, classes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.bincount(np.concatenate(classes), minlength=len(self._classes))


def _curves(
    pairs: Sequence[tuple[Instances, Instances]], classes: NDArray[np.int64], kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision (thresholds, recalls, classes, areas) and recall (thresholds, classes, areas)."""
    from faster_coco_eval.core import COCOeval_faster

    predicted, labelled = (_coco([pair[side] for pair in pairs], classes, kind) for side in (0, 1))
    judge = COCOeval_faster(labelled, predicted, kind, print_function=_silent)
    judge.evaluate()
    judge.accumulate()
    return judge.eval["precision"][..., -1], judge.eval["recall"][..., -1]


def _coco(images: Sequence[Instances], classes: NDArray[np.int64], kind: str) -> Any:
    from faster_coco_eval.core import COCO

    held = COCO(print_function=_silent)
    annotations: list[dict[str, Any]] = []
    for number, found in enumerate(images, start=1):
        for annotation in _annotations(found, kind):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    held.dataset = {
        "images": [{"id": n, "height": one.size[0], "width": one.size[1]} for n, one in enumerate(images, start=1)],
        "categories": [{"id": k, "name": str(k)} for k in classes.tolist()],
        "annotations": annotations,
    }
    held.createIndex()
    return held


def _annotations(found: Instances, kind: str) -> list[dict[str, Any]]:
    """Return what COCO's evaluation reads of every object."""
    from faster_coco_eval.core import mask

    boxes = found.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    areas = boxes[:, 2] * boxes[:, 3] if found.masks is None else [float(mask.area(dict(one))) for one in found.masks]
    segmentations = [{"segmentation": dict(one)} for one in found.masks or ()] if kind == "segm" else [{}] * len(found)
    return [
        {"category_id": k, "bbox": box, "area": float(area), "iscrowd": int(crowd), "score": score, **segmentation}
        for k, box, area, crowd, score, segmentation in zip(
            found.classes.tolist(),
            boxes.tolist(),
            areas,
            found.crowd.tolist(),
            found.scores.astype(np.float64).tolist(),
            segmentations,
            strict=True,
        )
    ]


def _known(parts: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return the mean of every array that holds more than COCO's -1 for "there is nothing to measure"."""
    return {key: float(values[values > -1].mean()) for key, values in parts.items() if (values > -1).any()}


def _silent(*_: Any) -> None:
    """Print nothing."""
