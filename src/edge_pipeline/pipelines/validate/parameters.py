"""Typed parameters of validation."""

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class ValidateParameters(Parameters):
    """Time limit of running the test set on the device, in seconds."""

    time_limit_s: float = Field(600.0, gt=0)
    threads: int = Field(1, ge=1)
