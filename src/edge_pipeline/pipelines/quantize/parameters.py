"""Typed parameters of quantization."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from edge_pipeline.core.types import Precision
from edge_pipeline.devices.aihub.compiling import check_options
from edge_pipeline.pipelines.base import Parameters

TECHNIQUES = ("cross_layer_equalization", "adaround", "seq_mse", "bn_reestimation", "bias_correction", "qat")

AIMET_ONLY = (*TECHNIQUES, "scheme", "percentile", "per_channel", "power_of_two", "overrides", "auto", "hexagon")
"""Settings that say how AIMET quantizes."""

Override = Literal["float", "w8a8", "w8a16", "w4a8", "w4a16"]
Integers = Literal["w8a8", "w8a16", "w4a8", "w4a16"]


class SeqMse(Parameters):
    """`candidates` ranges are tried for each channel, on `images` of the calibration images."""

    candidates: int = Field(20, ge=2)
    images: int = Field(64, ge=1)


class AdaRound(Parameters):
    """`iterations` optimizer steps for each layer, on `images` of the calibration images."""

    iterations: int = Field(1000, ge=1)
    images: int = Field(64, ge=1)


class Qat(Parameters):
    """Quantization-aware training on the training part.

    `loss: distillation` follows the outputs of the float network and needs no labels; `task` is the model's own loss.
    """

    steps: int = Field(200, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(1e-5, gt=0)
    learn_ranges: bool = True
    loss: Literal["distillation", "task"] = "distillation"
    workers: int = Field(0, ge=0)


class Mixed(Parameters):
    """The precision `mixed`: the layers that make `share` of the noise get `high`, the others `low`.

    `auto` is `w8a16` where all runtimes of the targets take it, or else `float`.
    """

    low: Integers = "w8a8"
    high: Literal["auto", "float", "w8a16"] = "auto"
    share: float = Field(0.8, gt=0, le=1)


class Sensitivity(Parameters):
    """`images` validation images are compared; on `metric_images` the metric is measured too (0: not at all)."""

    images: int = Field(32, ge=1)
    metric_images: int = Field(0, ge=0)


class Auto(Parameters):
    """Climb from cheap to dear techniques until the budget is met, for at most `minutes`.

    Met is a `metric` at most `max_drop` below that of the float network on `images` validation images (0.005 are half
    a point of accuracy), and an SQNR of at least `min_sqnr_db` if that is given. `high` is what single layers may be
    given in the mixed-precision step; `off` leaves that step out.
    """

    metric: str = "accuracy"
    higher_is_better: bool = True
    max_drop: float = Field(0.005, ge=0)
    min_sqnr_db: float | None = None
    minutes: float = Field(60, gt=0)
    images: int = Field(500, ge=1)
    high: Literal["auto", "off", "float", "w8a16"] = "auto"
    seq_mse: SeqMse = SeqMse()
    adaround: AdaRound = AdaRound()
    qat: Qat = Qat()


class QuantizeParameters(Parameters):
    """AIMET quantization; calibration images are drawn from the training part, the same for every technique.

    `quantize: auto` is short for `quantize: {auto: {}}`. `overrides` gives single layers another precision, by the
    names of the sensitivity report. `power_of_two` chooses weight scales with which NPUs rescale exactly; `auto` does
    where a target device has an NPU.

    `where: hub` lets AI Hub quantize, from a float ONNX model and the calibration images, for at most `time_limit_s`
    seconds of work; `hub_options` are those of its quantizer. AIMET's techniques are then not to be had.
    """

    where: Literal["here", "hub"] = "here"
    hub_options: str = ""
    time_limit_s: float = Field(3600.0, gt=0)
    calibration_images: int = Field(256, ge=1)
    batch_size: int = Field(64, ge=1)
    scheme: Literal["min_max", "tf_enhanced", "percentile", "mse"] = "tf_enhanced"
    percentile: float = Field(99.99, gt=50, le=100)
    per_channel: bool = True
    power_of_two: Literal["auto"] | bool = "auto"
    cross_layer_equalization: bool = True
    bias_correction: bool = False
    bn_reestimation: bool = False
    seq_mse: SeqMse | None = None
    adaround: AdaRound | None = None
    qat: Qat | None = None
    overrides: dict[str, Override] = Field(default_factory=dict)
    mixed: Mixed = Mixed()
    auto: Auto | None = None
    sensitivity: Sensitivity = Sensitivity()
    hexagon: Literal["auto", "v68", "v69", "v73", "v75", "v79", "v81"] = "auto"
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"auto": {}} if value == "auto" else value

    @field_validator("hub_options")
    @classmethod
    def _options(cls, value: str) -> str:
        return check_options(value)

    @model_validator(mode="after")
    def _there_or_here(self) -> "QuantizeParameters":
        fields = type(self).model_fields
        changed = [
            name for name in AIMET_ONLY if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]
        if self.where == "hub" and changed:
            raise ValueError(
                f"{', '.join(changed)}: done by AIMET on this machine, while `where: hub` leaves all to AI Hub, which "
                "gives no simulation back; leave them out, or set `where: here`"
            )
        if self.where == "here" and self.hub_options:
            raise ValueError("hub_options: only for `where: hub`")
        return self

    @model_validator(mode="after")
    def _fit_together(self) -> "QuantizeParameters":
        if self.bn_reestimation and self.cross_layer_equalization:
            raise ValueError(
                "bn_reestimation and cross_layer_equalization exclude each other: equalized channels are not those of "
                "the batch norms; set one of them to false"
            )
        if self.seq_mse and self.adaround:
            raise ValueError("seq_mse and adaround exclude each other: both choose the integers of the weights")
        return self

    def bits(self, precision: Precision) -> tuple[int, int]:
        """Return the bits of weights and activations of the layers that no override names."""
        found = (Precision(self.mixed.low) if precision is Precision.MIXED else precision).bits
        assert found
        return found

    @property
    def techniques(self) -> list[str]:
        """Names of the techniques that are used, in the order of their application."""
        return [name for name in TECHNIQUES if getattr(self, name)]

    @property
    def only_for_networks(self) -> list[str]:
        """Names of the settings that change something, and that an ONNX model which stays one cannot have."""
        wanted = [name for name in TECHNIQUES[1:] if getattr(self, name)]
        wanted += [name for name in ("auto", "overrides") if getattr(self, name)]
        wanted += ["power_of_two"] if self.power_of_two is True else []
        return wanted + ([f"scheme: {self.scheme}"] if self.scheme in ("percentile", "mse") else [])
