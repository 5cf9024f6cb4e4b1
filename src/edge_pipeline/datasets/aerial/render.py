"""Make one scene."""

import functools
import math

import numpy as np

from edge_pipeline.core.errors import DatasetError
from edge_pipeline.datasets.aerial.buildings import paint_building, raise_building
from edge_pipeline.datasets.aerial.camera import Camera
from edge_pipeline.datasets.aerial.canvas import Canvas
from edge_pipeline.datasets.aerial.labels import label
from edge_pipeline.datasets.aerial.layout import Layout
from edge_pipeline.datasets.aerial.lens import photograph
from edge_pipeline.datasets.aerial.light import Light, random_light, shadows, shine
from edge_pipeline.datasets.aerial.materials import octaves
from edge_pipeline.datasets.aerial.places import plan
from edge_pipeline.datasets.aerial.settings import AerialSettings, Scene, generator, places_of
from edge_pipeline.datasets.aerial.terrain import paint_ground
from edge_pipeline.datasets.aerial.trees import Crowns
from edge_pipeline.datasets.aerial.vehicles import paint_thing


def render(settings: AerialSettings, index: int) -> Scene:
    """Return scene `index`: a pure function of the seed, the index, the size and the altitudes.

    Raises:
        DatasetError: there is no such scene.
    """
    if not 0 <= index < settings.count:
        raise DatasetError(f"there is no aerial scene {index}: the dataset has {settings.count}, counted from 0")
    return _render(settings.seed, index, settings.size, settings.altitudes)


@functools.lru_cache(maxsize=2)
def _render(seed: int, index: int, size: tuple[int, int], altitudes: tuple[float, float]) -> Scene:
    rng = generator(seed, index)
    place = int(places_of(seed, [index])[0])
    altitude = float(rng.uniform(*altitudes))
    camera = Camera(size, altitude, float(rng.uniform(0, 2 * math.pi)))
    light = random_light(rng)
    layout = plan(place, camera, rng)
    canvas = _canvas(camera, rng)
    paint_ground(canvas, layout)
    areas = [paint_thing(canvas, thing, i + 1, light.azimuth) for i, thing in enumerate(layout.things)]
    crowns = Crowns(canvas, light, int(rng.integers(2**31)))
    for building in layout.buildings:
        raise_building(canvas, building)
    for i, tree in enumerate(layout.trees):
        crowns.raise_tree(tree, i)
    _shade(canvas, light)
    _paint_high(canvas, layout, crowns, light)
    m = camera.margin
    inner = (slice(m, m + size[0]), slice(m, m + size[1]))
    kinds = [thing.kind for thing in layout.things]
    instances, labels = label(kinds, areas, canvas.owner[inner], canvas.surface[inner])
    picture = photograph(canvas.colour[:, *inner], altitude, rng)
    picture.setflags(write=False)
    labels.setflags(write=False)
    return Scene(picture, instances, labels, place, altitude)


def _canvas(camera: Camera, rng: np.random.Generator) -> Canvas:
    shape = camera.canvas
    broad = octaves(rng, shape, 16 * camera.scale, 5)
    fine = octaves(rng, shape, 1.6 * camera.scale, 4, 0.75)
    return Canvas(camera, broad, fine, np.asarray(rng.standard_normal(shape, np.float32)))


def _shade(canvas: Canvas, light: Light) -> None:
    from scipy import ndimage

    hidden = shadows(canvas.height, light, canvas.camera.scale)
    shine(canvas.colour, ndimage.gaussian_filter(hidden, 0.6, truncate=2.5), light)


def _paint_high(canvas: Canvas, layout: Layout, crowns: Crowns, light: Light) -> None:
    """Paint what rises above the ground; things nearer to the centre lean over those farther out."""
    high = [(math.hypot(b.x, b.y) - 3, 0, i) for i, b in enumerate(layout.buildings)]
    high += [(math.hypot(t.x, t.y), 1, i) for i, t in enumerate(layout.trees)]
    for _, kind, i in sorted(high, reverse=True):
        if kind:
            crowns.paint_tree(layout.trees[i], i)
        else:
            paint_building(canvas, layout.buildings[i], light)
