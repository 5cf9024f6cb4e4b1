"""The six kinds of places. They overlap: suburbs have trees, forests have roads, coasts have houses and car parks."""

from collections.abc import Callable

import numpy as np

from edge_pipeline.datasets.aerial.builder import Builder
from edge_pipeline.datasets.aerial.built import car_park, city, suburb
from edge_pipeline.datasets.aerial.camera import Camera
from edge_pipeline.datasets.aerial.layout import Layout
from edge_pipeline.datasets.aerial.rural import coast, farmland, forest
from edge_pipeline.datasets.aerial.settings import PLACES

_PLANS: dict[str, Callable[[Builder], None]] = {
    "city": city,
    "suburb": suburb,
    "farmland": farmland,
    "forest": forest,
    "coast": coast,
    "car_park": car_park,
}


def plan(place: int, camera: Camera, rng: np.random.Generator) -> Layout:
    """Return the layout of a scene of `place` (index of `PLACES`)."""
    builder = Builder(camera, rng)
    _PLANS[PLACES[place]](builder)
    return builder.layout
