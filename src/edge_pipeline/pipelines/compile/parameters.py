"""Typed parameters of compilation."""

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class CompileParameters(Parameters):
    """Time limit of one compilation, in seconds."""

    time_limit_s: float = Field(300.0, gt=0)
