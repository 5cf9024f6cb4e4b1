"""Typed options of Qualcomm's NPU compiler."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal[
    "default",
    "burst",
    "sustained_high_performance",
    "high_performance",
    "balanced",
    "low_balanced",
    "high_power_saver",
    "power_saver",
    "low_power_saver",
    "extreme_power_saver",
]


class QnnOptions(BaseModel):
    """Options of the QNN HTP backend, in its own words.

    `finalization_optimization` is how hard the compiler tries, 3 most. `vtcm_mb` is how much of the NPU's fast memory
    the graph may take; `null` leaves that to the compiler. `quantize_io` lets the application give and take integers
    in place of float tensors. `priority` is that of the graph among others on the NPU. `performance_mode` is the NPU's
    power setting while the model runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    performance_mode: Mode = "default"
    finalization_optimization: Literal[0, 1, 2, 3] = 3
    vtcm_mb: int | None = Field(None, ge=1, le=32)
    quantize_io: bool = False
    priority: Literal["low", "normal", "normal_high", "high"] = "normal"

    def for_provider(self) -> dict[str, str]:
        """Return them as options of ONNX Runtime's QNN execution provider."""
        found = {
            "htp_performance_mode": self.performance_mode,
            "htp_graph_finalization_optimization_mode": str(self.finalization_optimization),
            "offload_graph_io_quantization": str(int(self.quantize_io)),
            "qnn_context_priority": self.priority,
        }
        return found if self.vtcm_mb is None else {**found, "vtcm_mb": str(self.vtcm_mb)}
