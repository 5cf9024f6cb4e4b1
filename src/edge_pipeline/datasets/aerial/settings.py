"""What a generated scene is: its classes, its settings, and the random numbers it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.core.annotations import Instances
from edge_pipeline.core.errors import DatasetError

OBJECT_CLASSES = ("car", "truck", "bus", "boat", "person")
SURFACE_CLASSES = ("ground", "road", "water", "building", "tree", "vehicle", "person")
PLACES = ("city", "suburb", "farmland", "forest", "coast", "car_park")

GROUND, ROAD, WATER, BUILDING, TREE, VEHICLE, PERSON = range(len(SURFACE_CLASSES))

FOCAL_PIXELS = 444.0
"""Focal length: 640 pixels see 72 degrees. A picture of another size is a crop or an extension of that view."""

_MIN_SIDE = 32


@dataclass(frozen=True)
class AerialSettings:
    """Everything that decides the content of the scenes.

    A pixel on the ground is `altitude / FOCAL_PIXELS` metres wide at every picture size, so a smaller picture
    shows less ground rather than smaller objects: a car of 4.5 m is 50 pixels long from 40 m and 20 from 100 m.

    Attributes:
        count: number of scenes; scene i does not depend on it.
        seed: other seeds give other scenes.
        size: height and width in pixels.
        altitudes: lowest and highest altitude above ground in metres; each scene draws its own.
        cache: folder where rendered scenes are kept, or `None` to render at each visit.

    Raises:
        DatasetError: a value is out of range.
    """

    count: int
    seed: int
    size: tuple[int, int]
    altitudes: tuple[float, float] = (40.0, 100.0)
    cache: Path | None = None

    def __post_init__(self) -> None:
        height, width = self.size
        low, high = self.altitudes
        rules = (
            (self.count >= 0, f"count must be 0 or more, not {self.count}"),
            (self.seed >= 0, f"seed must be 0 or more, not {self.seed}"),
            (
                min(height, width) >= _MIN_SIDE,
                f"both sides of size must be {_MIN_SIDE} pixels or more, not {height}x{width}",
            ),
            (
                20 <= low <= high <= 400,
                f"altitudes must be two rising numbers between 20 and 400 m, not {low:g} and {high:g}",
            ),
        )
        for kept, message in rules:
            if not kept:
                raise DatasetError(f"generated aerial scenes: {message}")


@dataclass(frozen=True)
class Scene:
    """One rendered picture and all its labels.

    Attributes:
        picture: uint8 (h, w, 3), RGB.
        instances: objects of `OBJECT_CLASSES`; the masks hold visible pixels only, the boxes enclose them tightly.
        labels: uint8 (h, w), indices of `SURFACE_CLASSES`; 255 where an object is too small or too hidden to be
            labelled.
        place: index of `PLACES`.
        altitude: metres above ground.
    """

    picture: NDArray[np.uint8]
    instances: Instances
    labels: NDArray[np.uint8]
    place: int
    altitude: float


def places_of(seed: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place (index of `PLACES`) of each scene, without making the scenes."""
    z = np.asarray(indices, np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64((seed * 0xD1342543DE82EF95) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) % np.uint64(len(PLACES))).astype(np.int64)


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of one scene."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
