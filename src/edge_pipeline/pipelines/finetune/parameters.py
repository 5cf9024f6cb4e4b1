"""Typed parameters of splitting and fine-tuning."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_pipeline.pipelines.base import Parameters


class SplitParameters(Parameters):
    """Shares of the whole dataset, 0 to 1; the rest is for training."""

    seed: int = 0
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _something_left(self) -> "SplitParameters":
        if self.validation + self.test >= 0.95:
            raise ValueError("validation and test together leave less than 5% for training")
        return self


class AugmentParameters(Parameters):
    """Random changes of training pictures, each drawn for itself.

    `rotate_degrees` (of pictures that have a class or a label map, not boxes), `shift` as a share of the size, `scale`
    as a share around 1, mirrored left to right or top to bottom with the probabilities `flip_horizontal` and
    `flip_vertical`, brightness, contrast and saturation changed by up to the share `color`.
    """

    rotate_degrees: float = Field(0.0, ge=0, le=180)
    shift: float = Field(0.1, ge=0, le=0.5)
    scale: float = Field(0.1, ge=0, le=0.9)
    flip_horizontal: float = Field(0.0, ge=0, le=1)
    flip_vertical: float = Field(0.0, ge=0, le=1)
    color: float = Field(0.0, ge=0, lt=1)


class FinetuneParameters(Parameters):
    """AdamW with linear warm-up and cosine decay, early stopping on validation accuracy, then loss.

    A step takes `accumulate` batches. What is validated and kept is the exponential moving average of the weights with
    decay `ema` (0: the weights themselves). `warmup_epochs` may be a fraction. Validation takes place every
    `validate_every` epochs and after the last; `patience` counts epochs.

    `checkpoint` are weights to start from. `resume` goes on where a killed run of the same parameters, code and
    data stopped, and takes a finished training of them as it is. `threads` are PyTorch's on the CPU (`None`: its own
    choice); with 1 the weights do not depend on the number of cores. `workers` are processes that read samples.
    `mixed_precision`: `auto` computes in 16 bits on CUDA and in 32 on the CPU, `bfloat16` everywhere, `off` nowhere.
    """

    epochs: int = Field(40, ge=1)
    batch_size: int = Field(64, ge=2)
    accumulate: int = Field(1, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup_epochs: float = Field(2, ge=0)
    clip_gradient: float = Field(10.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    patience: int = Field(10, ge=1)
    validate_every: int = Field(1, ge=1)
    seed: int = 0
    augment: AugmentParameters = AugmentParameters()
    checkpoint: Path | None = None
    resume: bool = True
    threads: int | None = Field(None, ge=1)
    workers: int = Field(0, ge=0)
    accelerator: Literal["cpu", "cuda", "auto"] = "auto"
    mixed_precision: Literal["auto", "bfloat16", "off"] = "auto"
