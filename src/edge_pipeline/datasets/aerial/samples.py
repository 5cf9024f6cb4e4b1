"""Generated aerial scenes as a dataset."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError, suggest
from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.datasets.aerial.cache import SceneCache, scenes_hash
from edge_pipeline.datasets.aerial.render import render
from edge_pipeline.datasets.aerial.settings import (
    OBJECT_CLASSES,
    PLACES,
    SURFACE_CLASSES,
    AerialSettings,
    Scene,
    places_of,
)

CLASSES = {
    "classification": PLACES,
    "detection": OBJECT_CLASSES,
    "instance_segmentation": OBJECT_CLASSES,
    "semantic_segmentation": SURFACE_CLASSES,
}
"""The classes of each task that the scenes have labels for."""


class AerialScenes:
    """Generated drone views with the labels of one task.

    Attributes:
        classes: `PLACES`, `OBJECT_CLASSES` or `SURFACE_CLASSES`.
        labels: place of each scene for classification, else `None`.
        parts: `None`; the scenes are not divided.
    """

    def __init__(self, settings: AerialSettings, task: str) -> None:
        if task not in CLASSES:
            raise DatasetError(f"generated aerial scenes have no labels for task '{task}': {suggest(task, CLASSES)}")
        self.settings, self.task = settings, task
        self.classes: tuple[str, ...] = CLASSES[task]
        self.labels: Sequence[int] | None = None
        if task == "classification":
            self.labels = places_of(settings.seed, np.arange(settings.count)).tolist()
        self.parts = None
        self._cache = None if settings.cache is None else SceneCache(settings.cache, settings)

    def __len__(self) -> int:
        return self.settings.count

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Picture `index`, uint8 (h, w, 3), RGB."""
        if self._cache is not None and (stored := self._cache.picture(self._checked(index))) is not None:
            return stored
        return self._rendered(index).picture.copy()

    def truth(self, index: int) -> int | Instances | NDArray[np.uint8]:
        """Label of picture `index`: a place, objects (with masks for instance segmentation) or a map (h, w)."""
        if self.labels is not None:
            return self.labels[self._checked(index)]
        if self.task == "semantic_segmentation":
            if self._cache is not None and (stored := self._cache.labels(self._checked(index))) is not None:
                return stored
            return self._rendered(index).labels.copy()
        masks = self.task == "instance_segmentation"
        if self._cache is not None and (found := self._cache.instances(self._checked(index), masks=masks)) is not None:
            return found
        found = self._rendered(index).instances
        return found if masks else Instances.of(found.size, found.boxes, found.classes)

    def content_hash(self) -> str:
        """SHA-256 over the settings, the task, the generator's source and the versions of its libraries.

        Pictures and labels are a pure function of these, so nothing is rendered.
        """
        return sha256(json_bytes([scenes_hash(self.settings), self.settings.count, self.task]))

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise DatasetError(f"there is no aerial scene {index}: the dataset has {len(self)}, counted from 0")
        return index

    def _rendered(self, index: int) -> Scene:
        scene = render(self.settings, self._checked(index))
        if self._cache is not None:
            self._cache.save(index, scene)
        return scene
