"""What a recipe declares once of a network, and what is written beside every artifact made from it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from edge_pipeline.core.types import TensorSpec


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Preprocessing(_Declaration):
    """How a picture (h, w, channels) uint8 becomes the input of a network: fit, scale, normalise, lay out.

    `fit` brings the picture to `size` (height, width): `stretch` ignores its proportions, `letterbox` keeps them and
    fills the rest with `fill`, `crop` keeps them and cuts from the middle, `exact` refuses any other size. Resizing is
    Pillow's bilinear filter, which averages when it shrinks. Values are divided by 255, then it is `(x - mean) / std`
    for each channel.
    """

    size: tuple[PositiveInt, PositiveInt]
    channels: Literal[1, 3] = 3
    fit: Literal["stretch", "letterbox", "crop", "exact"] = "stretch"
    fill: int = Field(114, ge=0, le=255)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Literal["nchw", "nhwc"] = "nchw"


class Logits(_Declaration):
    """One output (n, classes): a softmax over it gives the probability of every class."""

    kind: Literal["logits"] = "logits"


class ClassMap(_Declaration):
    """One output (n, classes, h, w): enlarged to the input's size (bilinear); the largest value is a pixel's class."""

    kind: Literal["class_map"] = "class_map"


class YoloMaps(_Declaration):
    """Raw head maps of YOLOv8, a level after the other: boxes, classes, and for masks coefficients and prototypes.

    Outputs, for L levels of strides `strides`: `box_<i>` (n, 4 * reg_max, h, w) and `class_<i>` (n, classes, h, w) in
    turn, then with masks `mask_<i>` (n, mask_channels, h, w) and `prototypes` (n, mask_channels, H/4, W/4).
    """

    kind: Literal["yolo_maps"] = "yolo_maps"
    strides: tuple[PositiveInt, ...] = (8, 16, 32)
    reg_max: PositiveInt = 16
    mask_channels: int = Field(0, ge=0)
    confidence: float = Field(0.001, ge=0, lt=1)
    iou: float = Field(0.7, gt=0, le=1)
    max_detections: PositiveInt = 300


class YoloBoxes(_Declaration):
    """AI Hub's convention: `boxes` (n, anchors, 4) x1 y1 x2 y2 in pixels, `scores` and `class_idx` (n, anchors).

    With masks also `mask_coefficients` (n, anchors, mask_channels) and `prototypes` (n, mask_channels, H/4, W/4).
    """

    kind: Literal["yolo_boxes"] = "yolo_boxes"
    mask_channels: int = Field(0, ge=0)
    confidence: float = Field(0.001, ge=0, lt=1)
    iou: float = Field(0.7, gt=0, le=1)
    max_detections: PositiveInt = 300


class Raw(_Declaration):
    """The outputs themselves are the prediction; a metric of the user's own makes sense of them."""

    kind: Literal["raw"] = "raw"


Postprocessing = Annotated[Logits | ClassMap | YoloMaps | YoloBoxes | Raw, Field(discriminator="kind")]


class Interface(_Declaration):
    """Inputs and outputs of a network with batch 1, and what is done before and after it.

    `preprocessing` is `None` where the dataset gives tensors that the network takes as they are.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing | None
    postprocessing: Postprocessing
