"""YOLOv8 for boxes, and for boxes with masks (Jocher et al., Ultralytics YOLOv8, 2023)."""

from torch import nn

from edge_pipeline.core.interface import Interface, Preprocessing, YoloBoxes, YoloMaps
from edge_pipeline.core.types import TensorSpec
from edge_pipeline.models.spec import YoloDetSpec, YoloSegSpec
from edge_pipeline.models.yolov8_decoder import BoxDecoder
from edge_pipeline.models.yolov8_loss import Yolov8Loss
from edge_pipeline.models.yolov8_network import Yolov8, layers

Spec = YoloDetSpec | YoloSegSpec

_STRIDES = (8, 16, 32)
_REG_MAX = 16
_MASK_CHANNELS = 32


def interface(spec: Spec) -> Interface:
    """Return the maps of the head, or the boxes decoded from them, of pictures that are letterboxed, in 0 to 1."""
    _, height, width = spec.image_shape
    channels = _MASK_CHANNELS if _has_masks(spec) else 0
    if spec.outputs == "maps":
        shapes = _map_shapes(height, width, spec.classes, channels)
        postprocessing: YoloMaps | YoloBoxes = YoloMaps(strides=_STRIDES, reg_max=_REG_MAX, mask_channels=channels)
    else:
        shapes = _box_shapes(height, width, channels)
        postprocessing = YoloBoxes(mask_channels=channels)
    return Interface(
        inputs=(TensorSpec("image", (1, *spec.image_shape), "float32"),),
        outputs=tuple(TensorSpec(name, shape, "float32") for name, shape in shapes.items()),
        preprocessing=Preprocessing(size=(height, width), fit="letterbox", fill=114),
        postprocessing=postprocessing,
    )


def build(spec: Spec) -> Yolov8:
    """Return the untrained network; the loss takes its `training_outputs`, the maps, whatever `outputs` says.

    Raises:
        ModelError: the package ultralytics is not installed.
    """
    decoder: nn.Module | None = None
    if spec.outputs == "boxes":
        _, height, width = spec.image_shape
        decoder = BoxDecoder((height, width), _STRIDES, _REG_MAX)
    return Yolov8(layers(f"yolov8{spec.size}{'-seg' if _has_masks(spec) else ''}", spec.classes), decoder)


def criterion(net: Yolov8, spec: Spec) -> Yolov8Loss:
    """Return the loss of the maps, which `net.training_outputs` gives, for the objects of each image."""
    return Yolov8Loss(net)


def _has_masks(spec: Spec) -> bool:
    return spec.task == "instance_segmentation"


def _map_shapes(height: int, width: int, classes: int, mask_channels: int) -> dict[str, tuple[int, ...]]:
    grids = [(height // stride, width // stride) for stride in _STRIDES]
    shapes: dict[str, tuple[int, ...]] = {}
    for level, grid in enumerate(grids):
        shapes[f"box_{level}"] = (1, 4 * _REG_MAX, *grid)
        shapes[f"class_{level}"] = (1, classes, *grid)
    if mask_channels:
        shapes |= {f"mask_{level}": (1, mask_channels, *grid) for level, grid in enumerate(grids)}
        shapes["prototypes"] = (1, mask_channels, height // 4, width // 4)
    return shapes


def _box_shapes(height: int, width: int, mask_channels: int) -> dict[str, tuple[int, ...]]:
    anchors = sum((height // stride) * (width // stride) for stride in _STRIDES)
    shapes: dict[str, tuple[int, ...]] = {"boxes": (1, anchors, 4), "scores": (1, anchors), "class_idx": (1, anchors)}
    if mask_channels:
        shapes["mask_coefficients"] = (1, anchors, mask_channels)
        shapes["prototypes"] = (1, mask_channels, height // 4, width // 4)
    return shapes
