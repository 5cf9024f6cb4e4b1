"""Typed parameters of compilation."""

from typing import Any, Literal

from pydantic import Field, field_validator

from edge_pipeline.devices.aihub.compiling import check_options
from edge_pipeline.pipelines.base import Parameters
from edge_pipeline.runtimes.passes.base import check_names
from edge_pipeline.runtimes.qnn_options import QnnOptions


class CompileParameters(Parameters):
    """Limits of one compilation in seconds and 10^6 bytes, graph optimizations, options of the NPU's compiler.

    `optimizations` lists passes by name, in the order in which they run; `auto` takes those that fit runtime, chip and
    precision. `kedro edge passes` lists them. They change ONNX models: not those of LiteRT, nor those that AI Hub
    compiles.

    Of AI Hub: `hub_options` are given to its compiler, such as `--qairt_version 2.40`; `hub_source: encodings` sends
    quantized models as a float ONNX model with AIMET's encodings instead of QDQ; `hub_link` lets it make context
    binaries in two jobs, one that compiles to a DLC and one that links with `hub_link_options`.
    """

    time_limit_s: float = Field(300.0, gt=0)
    memory_limit_mb: int = Field(8000, ge=600)
    optimizations: Literal["auto"] | tuple[str, ...] = "auto"
    qnn: QnnOptions = QnnOptions()
    hub_options: str = ""
    hub_source: Literal["qdq", "encodings"] = "qdq"
    hub_link: bool = False
    hub_link_options: str = ""

    @field_validator("optimizations", mode="after")
    @classmethod
    def _known(cls, value: Any) -> Any:
        problems = check_names(() if value == "auto" else value)
        if problems:
            raise ValueError("; ".join(problems))
        return value

    @field_validator("hub_options", "hub_link_options")
    @classmethod
    def _options(cls, value: str) -> str:
        return check_options(value)
