"""Typed parameters of quantization."""

from typing import Literal

from pydantic import Field

from edge_pipeline.pipelines.base import Parameters


class QuantizeParameters(Parameters):
    """AIMET post-training quantization; calibration images are drawn from the training part."""

    calibration_images: int = Field(256, ge=1)
    batch_size: int = Field(64, ge=1)
    scheme: Literal["min_max", "tf_enhanced"] = "tf_enhanced"
    cross_layer_equalization: bool = True
    hardware_config: Literal["htp_v73"] = "htp_v73"
    seed: int = 0
