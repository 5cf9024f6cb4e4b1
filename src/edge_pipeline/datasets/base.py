"""What a labelled dataset is, and how to open one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.datasets import spec as specs


class Samples(Protocol):
    """Labelled pictures, read one at a time. They are sent to worker processes, so they hold no open files.

    Attributes:
        classes: names of the classes, in the order of their indices.
        labels: the class of each sample where there is one (classification), to divide classes evenly; else `None`.
        parts: the dataset's own division into `train`, `validation`, `test`, or `None`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def labels(self) -> Sequence[int] | None:
        """Class of each sample, or `None`."""

    @property
    def parts(self) -> Mapping[str, Sequence[int]] | None:
        """The dataset's own division, or `None`."""

    def __len__(self) -> int:
        """Number of samples."""

    def picture(self, index: int) -> Picture:
        """Picture `index`, uint8, shape (height, width, channels)."""

    def truth(self, index: int) -> Any:
        """Label of picture `index`.

        Classification: int. Detection and instance segmentation: `Instances`. Semantic segmentation: uint8 (h, w), 255
        is ignored. Custom: whatever the user's metric and loss understand.
        """

    def content_hash(self) -> str:
        """SHA-256 over every picture and label."""


def open_dataset(spec: "specs.DatasetSpec", task: "specs.Task", channels: int) -> Samples:
    """Open the dataset of a model of `task` that takes pictures of `channels` (1 grey, 3 RGB), with what it took in.

    Raises:
        DatasetError: it is missing or damaged.
    """
    from edge_pipeline.datasets.joined import with_incoming

    own, masks = open_own(spec, task, channels), task == "instance_segmentation"
    return with_incoming(own, getattr(spec, "incoming", None), channels, masks)


def open_own(spec: "specs.DatasetSpec", task: "specs.Task", channels: int) -> Samples:
    """Open what models.yml names, without new samples.

    Raises:
        DatasetError: it is missing or damaged.
    """
    masks = task == "instance_segmentation"
    match spec:
        case specs.DigitsSpec():
            from edge_pipeline.datasets.digits import Digits

            return Digits(channels)
        case specs.ImageFolderSpec():
            from edge_pipeline.datasets.image_folder import ImageFolder

            return ImageFolder(spec.path, channels)
        case specs.CocoSpec():
            from edge_pipeline.datasets.coco import CocoSamples

            given = {"train": spec.train, "validation": spec.validation, "test": spec.test}
            parts = {name: (part.images, part.annotations) for name, part in given.items() if part}
            return CocoSamples(parts, channels, masks=masks)
        case specs.YoloTextSpec():
            from edge_pipeline.datasets.yolo_text import YoloSamples

            return YoloSamples(spec.path, channels, masks=masks)
        case specs.CityscapesSpec():
            from edge_pipeline.datasets.cityscapes import CityscapesSamples

            return CityscapesSamples(spec.path, channels)
        case specs.AerialScenesSpec():
            from edge_pipeline.datasets.aerial import AerialScenes, AerialSettings

            settings = AerialSettings(spec.count, spec.seed, spec.size, spec.altitudes, spec.cache)
            return AerialScenes(settings, task)
        case specs.FactorySpec():
            from edge_pipeline.datasets.factory import FactorySamples, load_factory

            return FactorySamples(load_factory(spec.factory, spec.options))
