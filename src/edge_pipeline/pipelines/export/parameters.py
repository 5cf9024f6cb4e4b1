"""Typed parameters of the export."""

from typing import Literal

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class ExportParameters(Parameters):
    """`check_images` validation images are run through network and ONNX file, and the difference recorded.

    Integers of 4 and 16 bits need opset 21, which is taken for them. `encodings_version` is that of the `.encodings`
    file.
    """

    opset: Literal[17, 18, 19, 20, 21] = 17
    encodings_version: Literal["1.0.0", "2.0.0"] = "2.0.0"
    check_images: int = Field(64, ge=1)
