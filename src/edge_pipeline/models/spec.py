"""An entry of models.yml, typed: one class a recipe."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from edge_pipeline.core.errors import suggest
from edge_pipeline.core.interface import Postprocessing
from edge_pipeline.core.types import Precision, RuntimeName, Target
from edge_pipeline.datasets.spec import DatasetSpec, DigitsSpec, FactorySpec, Task

OBJECT = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""`module:name`, a Python object of the user's."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Require(_Entry):
    """What a target must reach, or the run fails: `npu_layers` is the share of layers on the NPU, such as `100%`."""

    npu_layers: float | None = Field(None, ge=0, le=100)

    @field_validator("npu_layers", mode="before")
    @classmethod
    def _percent(cls, value: Any) -> Any:
        if isinstance(value, str):
            number = value.strip().removesuffix("%")
            if not value.strip().endswith("%"):
                raise ValueError(f"a share in percent is meant, `{number}%`")
            return number
        return value


class Targets(_Entry):
    """Every combination that the device can run is one target, but for those that `exclude` names.

    `exclude` lists `runtime/precision`. `require` is what targets of NPU runtimes must reach.
    """

    devices: tuple[str, ...] = Field(("host",), min_length=1)
    runtimes: tuple[RuntimeName, ...] = Field((RuntimeName.ONNX, RuntimeName.TFLITE), min_length=1)
    precisions: tuple[Precision, ...] = Field((Precision.FLOAT, Precision.W8A8), min_length=1)
    exclude: tuple[str, ...] = ()
    require: Require = Require()

    @model_validator(mode="after")
    def _something_left(self) -> "Targets":
        known = [f"{runtime}/{precision}" for runtime in self.runtimes for precision in self.precisions]
        for name in self.exclude:
            if name not in known:
                raise ValueError(f"exclude: '{name}' is none of these targets; {suggest(name, known)}")
        if set(known) <= set(self.exclude):
            raise ValueError("exclude leaves no target")
        return self

    @field_validator("devices", "runtimes", "precisions")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names an entry twice")
        return value


class PreprocessingChanges(_Entry):
    """What differs from the recipe's own preprocessing; see `Preprocessing`.

    `in_graph` makes mean and std part of the network that is deployed: it takes pixel values, 0 to 255.
    """

    fit: Literal["stretch", "letterbox", "crop", "exact"] | None = None
    fill: int | None = Field(None, ge=0, le=255)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    in_graph: bool = False


class BaseSpec(_Entry):
    """Dataset, input, head, targets and metric of one model.

    `image_shape` is (channels, height, width); 1 channel is grey, 3 are RGB. `classes` is the size of the head.
    `default` puts the model into plain `kedro run`. `metric` is a function of the user's, `module:function`.
    `on_premises` refuses devices of AI Hub.
    """

    task: Task
    dataset: DatasetSpec
    image_shape: tuple[Literal[1, 3], PositiveInt, PositiveInt]
    classes: int = Field(ge=1)
    default: bool = False
    targets: Targets = Targets()
    metric: str | None = Field(None, pattern=OBJECT)
    on_premises: bool = False
    preprocessing: PreprocessingChanges = PreprocessingChanges()

    @model_validator(mode="after")
    def _dataset_serves_task(self) -> "BaseSpec":
        served = self.dataset.tasks
        if self.task not in served:
            raise ValueError(
                f"a dataset of type '{self.dataset.type}' has no labels for the task '{self.task}'; it serves "
                f"{', '.join(served)}"
            )
        return self

    @model_validator(mode="after")
    def _pixels_need_a_network(self) -> "BaseSpec":
        if self.preprocessing.in_graph and self.stays_onnx:
            raise ValueError("preprocessing.in_graph: a model that stays ONNX is taken as it is")
        return self

    @property
    def trained(self) -> bool:
        """Whether fine-tuning changes the network."""
        return True

    @property
    def stays_onnx(self) -> bool:
        """Whether the network is an ONNX model from beginning to end."""
        return False

    def expand(self, model: str) -> tuple[Target, ...]:
        """All targets of this model, the order of models.yml kept."""
        t = self.targets
        return tuple(
            Target(model, device, runtime, precision)
            for device in t.devices
            for runtime in t.runtimes
            for precision in t.precisions
            if f"{runtime}/{precision}" not in t.exclude
        )


class ClassifierSpec(BaseSpec):
    """`network` is `small_cnn`, `efficientnet_lite0`, `torchvision.<name>` or `timm.<name>`."""

    recipe: Literal["classifier"]
    task: Literal["classification"] = "classification"
    dataset: DatasetSpec = DigitsSpec()
    image_shape: tuple[Literal[1, 3], PositiveInt, PositiveInt] = (1, 8, 8)
    classes: int = Field(10, ge=2)
    network: str = Field("small_cnn", pattern=r"^(small_cnn|efficientnet_lite0|(torchvision|timm)\.[\w.]+)$")
    pretrained: bool = False


class _StridedSpec(BaseSpec):
    image_shape: tuple[Literal[3], PositiveInt, PositiveInt]

    @field_validator("image_shape")
    @classmethod
    def _whole_strides(cls, value: tuple[int, int, int]) -> tuple[int, int, int]:
        if value[1] % 32 or value[2] % 32:
            raise ValueError("height and width must be multiples of 32, the network's largest stride")
        return value


class _YoloSpec(_StridedSpec):
    """`size` is that of YOLOv8. `outputs`: raw head `maps`, or `boxes` in AI Hub's convention."""

    image_shape: tuple[Literal[3], PositiveInt, PositiveInt] = (3, 640, 640)
    size: Literal["n", "s", "m"] = "n"
    outputs: Literal["maps", "boxes"] = "maps"


class YoloDetSpec(_YoloSpec):
    """YOLOv8 that finds boxes."""

    recipe: Literal["yolov8_det"]
    task: Literal["detection"] = "detection"


class YoloSegSpec(_YoloSpec):
    """YOLOv8 that finds boxes and masks."""

    recipe: Literal["yolov8_seg"]
    task: Literal["instance_segmentation"] = "instance_segmentation"


class FFNetSpec(_StridedSpec):
    """FFNet, a semantic segmentation network. With `balance`, rare classes count more in the training loss."""

    recipe: Literal["ffnet_40s", "ffnet_54s", "ffnet_78s"]
    task: Literal["semantic_segmentation"] = "semantic_segmentation"
    image_shape: tuple[Literal[3], PositiveInt, PositiveInt] = (3, 1024, 2048)
    balance: bool = False


class InputSpec(_Entry):
    """One input of a network of the user's: `shape` includes the batch, which is 1."""

    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    shape: tuple[PositiveInt, ...] = Field(min_length=1)

    @field_validator("shape")
    @classmethod
    def _one_sample(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if value[0] != 1:
            raise ValueError("the first number is the batch, which must be 1")
        return value


class CustomSpec(BaseSpec):
    """A network of the user's: `factory` is `module:function` that returns an `nn.Module`; `file` a .pt2 or .onnx.

    `inputs` are needed where the dataset gives tensors instead of pictures; with none there is one input `image` of
    `image_shape`. `loss` is `module:function(outputs, truths)` that returns a scalar tensor; without it, or from a
    file, the network is not trained.
    """

    recipe: Literal["custom"]
    task: Task = "custom"
    image_shape: tuple[Literal[1, 3], PositiveInt, PositiveInt] = (3, 224, 224)
    classes: int = Field(1, ge=1)
    factory: str | None = Field(None, pattern=OBJECT)
    options: Mapping[str, Any] = Field(default_factory=dict)
    file: Path | None = None
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    layout: Literal["nchw", "nhwc"] = "nchw"
    postprocessing: Postprocessing | None = None
    loss: str | None = Field(None, pattern=OBJECT)

    @model_validator(mode="after")
    def _one_source(self) -> "CustomSpec":
        if (self.factory is None) == (self.file is None):
            raise ValueError("give either `factory` or `file`")
        if self.file is not None and self.file.suffix not in (".pt2", ".onnx"):
            raise ValueError("`file` must end in .pt2 or .onnx")
        if self.file is not None and self.loss is not None:
            raise ValueError("a network from a file is not trained, so `loss` has no use")
        if self.task == "custom" and self.metric is None:
            raise ValueError("the task 'custom' has no metric of its own; name yours: `metric: my_package.metrics:mae`")
        if self.inputs and not isinstance(self.dataset, FactorySpec):
            raise ValueError("`inputs` are for a dataset of type `factory`, which gives tensors")
        return self

    @property
    def trained(self) -> bool:
        """Whether fine-tuning changes the network."""
        return self.loss is not None

    @property
    def stays_onnx(self) -> bool:
        """Whether a network from a file is quantized and compiled as ONNX; for LiteRT it goes through PyTorch."""
        return self.file is not None and RuntimeName.TFLITE not in self.targets.runtimes


ModelSpec = Annotated[
    ClassifierSpec | YoloDetSpec | YoloSegSpec | FFNetSpec | CustomSpec, Field(discriminator="recipe")
]
