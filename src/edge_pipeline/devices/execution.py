"""Which engine computes on a board, as its user writes it in devices.yml."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_pipeline.core.types import RuntimeName

Option = str | int | float | bool

ON_CPU = {"CPUExecutionProvider", "XNNPACKExecutionProvider"}
QNN = "QNNExecutionProvider"
_SUFFIX = "ExecutionProvider"


class _Engine(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    options: dict[str, Option] = Field(default_factory=dict)

    def _told(self) -> dict[str, Any]:
        """Return the options as engines take them: text."""
        return {"options": {key: _text(value) for key, value in self.options.items()}} if self.options else {}


class OnnxEngine(_Engine):
    """The execution provider of ONNX Runtime.

    `provider` is its name, the part `ExecutionProvider` may be left out; by default it is the CPU's, and on `npu` and
    `gpu` that of QNN, with its HTP or GPU backend. `library` is the path of a provider's own library on the board, for
    those that are plugins; that of the package onnxruntime-qnn is found by itself. `options` are the provider's.
    """

    compute_unit: Literal["npu", "gpu", "cpu"] = "cpu"
    provider: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9]{1,60}$")
    library: str | None = Field(None, min_length=1)

    @field_validator("provider")
    @classmethod
    def _whole(cls, value: str | None) -> str | None:
        return value if value is None or value.endswith(_SUFFIX) else value + _SUFFIX

    @model_validator(mode="after")
    def _fits(self) -> "OnnxEngine":
        if self.name in ON_CPU and self.compute_unit != "cpu":
            raise ValueError(f"{self.name} computes on the cpu, not on the {self.compute_unit}")
        if self.name == QNN and self.compute_unit == "cpu":
            raise ValueError(f"{QNN} computes on the npu or the gpu: name it with `compute_unit`")
        if self.name == "CPUExecutionProvider" and (self.options or self.library):
            raise ValueError("the CPU's provider takes no options and no library; name another with `provider`")
        return self

    @property
    def name(self) -> str:
        """The provider's whole name."""
        return self.provider or ("CPUExecutionProvider" if self.compute_unit == "cpu" else QNN)

    def request(self) -> dict[str, Any]:
        """Return what the agent is told; nothing where it does as always."""
        if self.name == "CPUExecutionProvider":
            return {}
        library = {"library": self.library} if self.library else {}
        return {"compute_unit": self.compute_unit, "provider": self.name, **library, **self._told()}


class TfliteEngine(_Engine):
    """The delegate of LiteRT.

    `delegate` is `xnnpack`, `none` (LiteRT's own kernels), or the path on the board of a library with an external
    delegate, such as Qualcomm's libQnnTFLiteDelegate.so or the GPU's, whose `options` it gets.
    """

    compute_unit: Literal["npu", "gpu", "cpu"] = "cpu"
    delegate: str = Field("xnnpack", min_length=1)

    @field_validator("delegate")
    @classmethod
    def _known(cls, value: str) -> str:
        name = PurePosixPath(value).name
        if value not in ("xnnpack", "none") and ".so" not in name:
            raise ValueError(
                f"'{value}' is no delegate: xnnpack, none, or the path of a library on the board, such as "
                "/usr/lib/libQnnTFLiteDelegate.so"
            )
        return value

    @model_validator(mode="after")
    def _fits(self) -> "TfliteEngine":
        if self.delegate in ("xnnpack", "none"):
            if self.compute_unit != "cpu":
                raise ValueError(
                    f"on the {self.compute_unit} `delegate` is needed: the path on the board of a library, such as "
                    "/usr/lib/libQnnTFLiteDelegate.so"
                )
            if self.options:
                raise ValueError(f"the delegate {self.delegate} takes no options")
        return self

    def request(self) -> dict[str, Any]:
        """Return what the agent is told; nothing where it does as always."""
        if self.delegate == "xnnpack":
            return {}
        return {"compute_unit": self.compute_unit, "delegate": self.delegate, **self._told()}


class QnnEngine(_Engine):
    """QNN's backend for the NPU, which alone runs what was compiled for it; `options` are those of its provider."""

    compute_unit: Literal["npu"] = "npu"

    def request(self) -> dict[str, Any]:
        """Return what the agent is told."""
        return {"compute_unit": self.compute_unit, **self._told()}


class Execution(BaseModel):
    """What computes on a board, for each runtime."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    onnx: OnnxEngine = OnnxEngine()
    tflite: TfliteEngine = TfliteEngine()
    qnn_context_binary: QnnEngine = QnnEngine()
    precompiled_qnn_onnx: QnnEngine = QnnEngine()

    def unit(self, runtime: RuntimeName) -> str:
        """Return the compute unit of a runtime."""
        return self._of(runtime).compute_unit

    def request(self, runtime: RuntimeName) -> Mapping[str, Any]:
        """Return what the agent is told of a runtime; see providers.py."""
        return self._of(runtime).request()

    def _of(self, runtime: RuntimeName) -> OnnxEngine | TfliteEngine | QnnEngine:
        found: OnnxEngine | TfliteEngine | QnnEngine = getattr(self, runtime.value)
        return found


def _text(value: Option) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
