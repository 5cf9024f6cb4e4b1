"""From the outputs of a network to predictions, one a picture, in the frame of the network's input."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.errors import DeviceError
from edge_pipeline.core.interface import ClassMap, Interface, Logits, Raw, YoloBoxes, YoloMaps
from edge_pipeline.core.preprocessing import Geometry
from edge_pipeline.tasks import yolo
from edge_pipeline.tasks.base import Prediction
from edge_pipeline.tasks.masks import to_original
from edge_pipeline.tasks.resize import Axis, enlarge


def decode(outputs: Sequence[NDArray[Any]], interface: Interface) -> list[Prediction]:
    """Return the prediction for every picture of a batch.

    Args:
        outputs: arrays (n, ...), in the order of `interface.outputs`.
        interface: what the network's recipe declared.

    Returns:
        By `interface.postprocessing`: probabilities float32 (classes,) for logits, a label map uint8 (h, w) for a class
        map, `Instances` for YOLO, an array (or a tuple of several) without its batch axis for raw outputs.

    Raises:
        DeviceError: number, shape or values of the outputs are not what the interface declares.
    """
    arrays = [np.asarray(one) for one in outputs]
    _check(arrays, interface)
    size = input_size(interface)
    images = ([array[index] for array in arrays] for index in range(len(arrays[0])))
    match interface.postprocessing:
        case Logits():
            return [_softmax(one[0].reshape(-1)) for one in images]
        case ClassMap():
            return [_label_map(one[0], size) for one in images]
        case YoloMaps() as settings:
            return [yolo.from_maps(one, settings, size) for one in images]
        case YoloBoxes() as settings:
            return [yolo.from_boxes(one, settings, size) for one in images]
        case Raw():
            return [one[0] if len(one) == 1 else tuple(one) for one in images]


def restore(prediction: Prediction, geometry: Geometry) -> Prediction:
    """Return a prediction in the frame of the original picture: boxes, masks and label maps move, others stay.

    Not for raw outputs, of which nobody knows what they mean.
    """
    if isinstance(prediction, Instances):
        boxes = geometry.boxes_to_original(prediction.boxes)
        masks = None if prediction.masks is None else to_original(prediction.masks, geometry)
        return Instances.of(geometry.original, boxes, prediction.classes, prediction.scores, masks, prediction.crowd)
    if isinstance(prediction, np.ndarray) and prediction.dtype == np.uint8 and prediction.shape == geometry.target:
        return geometry.labels_to_original(prediction)
    return prediction


def input_size(interface: Interface) -> tuple[int, int]:
    """Return height and width of the network's input; of tensors that are no pictures, their last two axes."""
    if interface.preprocessing is not None:
        return interface.preprocessing.size
    height, width = (1, 1, *interface.inputs[0].shape)[-2:]
    return height, width


def _check(outputs: Sequence[NDArray[Any]], interface: Interface) -> None:
    expected = interface.outputs
    if len(outputs) != len(expected):
        names = ", ".join(spec.name for spec in expected)
        raise DeviceError(f"the model gave {len(outputs)} outputs, {len(expected)} were expected: {names}")
    for index, (array, spec) in enumerate(zip(outputs, expected, strict=True)):
        which = f"output {index} ('{spec.name}')"
        if array.ndim == 0 or array.shape[1:] != tuple(spec.shape[1:]) or len(array) != len(outputs[0]):
            wanted = (len(outputs[0]) if outputs[0].ndim else 1, *spec.shape[1:])
            raise DeviceError(f"{which} has shape {array.shape}, expected {wanted}")
        raw = isinstance(interface.postprocessing, Raw)
        if array.dtype.kind == "f" and (np.isnan(array).any() if raw else not np.isfinite(array).all()):
            raise DeviceError(
                f"{which} holds values that are not finite (NaN or infinite). The artifact or the engine is broken: "
                "compile it again, or compare with the float target to see where it starts."
            )


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = logits.astype(np.float32)
    values = np.exp(values - values.max())
    values /= values.sum()
    return values


def _label_map(scores: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the class (h, w) with the largest enlarged score, of scores (classes, h, w); holds one class at a time."""
    if len(scores) > IGNORED_LABEL:
        raise DeviceError(f"a label map can tell {IGNORED_LABEL} classes apart, the model has {len(scores)}")
    rows, columns = Axis.of(scores.shape[1], size[0]), Axis.of(scores.shape[2], size[1])
    labels = np.zeros(size, np.uint8)
    best = enlarge(scores[0].astype(np.float32), rows, columns)
    for index, plane in enumerate(scores[1:], start=1):
        wide = enlarge(plane.astype(np.float32), rows, columns)
        np.copyto(labels, np.uint8(index), where=wide > best)
        np.maximum(best, wide, out=best)
    return labels
