"""An entry of models.yml, typed."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator

from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.datasets.spec import DatasetSpec, DigitsSpec


class Targets(BaseModel):
    """Every combination of the three is one target."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    devices: tuple[str, ...] = Field(("host",), min_length=1)
    runtimes: tuple[RuntimeName, ...] = Field((RuntimeName.ONNX, RuntimeName.TFLITE), min_length=1)
    precisions: tuple[Precision, ...] = Field((Precision.FLOAT, Precision.W8A8), min_length=1)

    @field_validator("devices", "runtimes", "precisions")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names an entry twice")
        return value


class ModelSpec(BaseModel):
    """Network, task, dataset and targets of one model.

    `image_shape` is (channels, height, width); 1 channel is grey, 3 are RGB. `default` puts the model into plain
    `kedro run`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    recipe: Literal["small_cnn"]
    task: Literal["classification"] = "classification"
    dataset: DatasetSpec = DigitsSpec()
    image_shape: tuple[Literal[1, 3], PositiveInt, PositiveInt] = (1, 8, 8)
    classes: int = Field(10, ge=2)
    default: bool = False
    targets: Targets = Targets()

    def expand(self, model: str) -> tuple[Target, ...]:
        """All targets of this model, the order of models.yml kept."""
        t = self.targets
        return tuple(
            Target(model, device, runtime, precision)
            for device in t.devices
            for runtime in t.runtimes
            for precision in t.precisions
        )
