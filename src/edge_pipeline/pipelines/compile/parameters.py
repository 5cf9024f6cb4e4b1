"""Typed parameters of compilation."""

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters
from edge_pipeline.runtimes.qnn_options import QnnOptions


class CompileParameters(Parameters):
    """Limits of one compilation in seconds and 10^6 bytes, and the options of the NPU's compiler."""

    time_limit_s: float = Field(300.0, gt=0)
    memory_limit_mb: int = Field(8000, ge=100)
    qnn: QnnOptions = QnnOptions()
