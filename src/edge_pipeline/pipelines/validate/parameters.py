"""Typed parameters of validation."""

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class ValidateParameters(Parameters):
    """`time_limit_s` is for up to 128 MiB of test images on the device; `threads` are those of the engine.

    An emulator takes seconds for an image: it runs `emulated_images` test images only.
    """

    time_limit_s: float = Field(600.0, gt=0)
    threads: int = Field(1, ge=1)
    emulated_images: int = Field(64, ge=1)
