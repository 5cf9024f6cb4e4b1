"""Typed parameters of the export."""

from typing import Literal

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class ExportParameters(Parameters):
    """`check_images` validation images are run through network and ONNX file, and the difference recorded."""

    opset: Literal[17, 18, 19, 20, 21] = 17
    check_images: int = Field(64, ge=1)
