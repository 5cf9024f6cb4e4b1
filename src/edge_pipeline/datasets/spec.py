"""The datasets that models.yml can name, typed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class DigitsSpec(BaseModel):
    """Scikit-learn's handwritten digits: 1,797 real 8x8 grey images, shipped with the library."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["digits"] = "digits"


class ImageFolderSpec(BaseModel):
    """A folder with one subfolder of images per class.

    `channels` is 1 (grey) or 3 (RGB). Images of another size than the model's input are refused unless
    `resize` is set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: Literal["image_folder"]
    path: Path
    resize: bool = False


DatasetSpec = Annotated[DigitsSpec | ImageFolderSpec, Field(discriminator="type")]
