"""The datasets that models.yml can name, typed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Task = Literal["classification", "detection", "instance_segmentation", "semantic_segmentation", "custom"]
Location = str
"""A path, relative to the project's folder, or any URL that fsspec opens (`s3://...`)."""

_ALL: tuple[Task, ...] = (
    "classification",
    "detection",
    "instance_segmentation",
    "semantic_segmentation",
    "custom",
)


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tasks: ClassVar[tuple[Task, ...]] = ()
    """Tasks that the labels serve."""
    generated: ClassVar[bool] = False
    """Whether the images are made up, so that scores on them say nothing about real ones."""


class _Growing(_Dataset):
    incoming: Path | None = None
    """Folder of the batches that retraining took in: data/01_raw/<model>/incoming, if that is there."""


class DigitsSpec(_Growing):
    """Scikit-learn's handwritten digits: 1,797 real 8x8 grey images, shipped with the library."""

    tasks = ("classification",)
    type: Literal["digits"] = "digits"


class ImageFolderSpec(_Growing):
    """A folder with one subfolder of images per class, or `train`, `val` (and `test`) folders of such."""

    tasks = ("classification",)
    type: Literal["image_folder"]
    path: Location


class CocoPart(BaseModel):
    """One part of a COCO dataset: the folder of its images and its annotation file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    images: Location
    annotations: Location


class CocoSpec(_Growing):
    """COCO JSON files: boxes, polygons and run lengths. With `train` alone, the other parts are cut from it."""

    tasks = ("detection", "instance_segmentation")
    type: Literal["coco"]
    train: CocoPart
    validation: CocoPart | None = None
    test: CocoPart | None = None


class YoloTextSpec(_Growing):
    """Ultralytics' layout: `path` is the data.yaml that names folders of images beside folders of text labels."""

    tasks = ("detection", "instance_segmentation")
    type: Literal["yolo"]
    path: Location


class CityscapesSpec(_Dataset):
    """The folder that holds `leftImg8bit` and `gtFine`; label ids become the 19 classes that are trained."""

    tasks = ("semantic_segmentation",)
    type: Literal["cityscapes"]
    path: Location


class AerialScenesSpec(_Dataset):
    """Generated drone views with boxes, masks, label maps and a kind of place; scores on them are of generated images.

    `size` is (height, width) in pixels, `altitudes` the range in metres. Rendered scenes are kept in `cache`.
    """

    tasks = ("classification", "detection", "instance_segmentation", "semantic_segmentation")
    generated = True
    type: Literal["aerial_scenes"]
    count: int = Field(1000, ge=10)
    size: tuple[PositiveInt, PositiveInt] = (640, 640)
    altitudes: tuple[float, float] = (40.0, 100.0)
    seed: int = 0
    cache: Path | None = Path("data/02_intermediate/aerial_scenes")

    @model_validator(mode="after")
    def _a_range(self) -> "AerialScenesSpec":
        if not 0 < self.altitudes[0] <= self.altitudes[1]:
            raise ValueError("`altitudes` are two numbers above 0, the lower one first")
        if min(self.size) < 64:
            raise ValueError("`size` must be at least 64x64 pixels")
        return self


class FactorySpec(_Dataset):
    """An object of the user's: `factory` is `module:function`, called with `options`.

    It has `len()`, and `[i]` gives (input, truth).
    """

    tasks = _ALL
    type: Literal["factory"]
    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    options: Mapping[str, Any] = Field(default_factory=dict)


DatasetSpec = Annotated[
    DigitsSpec | ImageFolderSpec | CocoSpec | YoloTextSpec | CityscapesSpec | AerialScenesSpec | FactorySpec,
    Field(discriminator="type"),
]
