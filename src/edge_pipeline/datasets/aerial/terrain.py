"""Paint the ground: natural cover, fields, water, roads and their markings."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.datasets.aerial.camera import Plane, Real
from edge_pipeline.datasets.aerial.canvas import Canvas, rgb
from edge_pipeline.datasets.aerial.layout import Layout, Road, Water, Zone
from edge_pipeline.datasets.aerial.materials import MATERIALS, Material
from edge_pipeline.datasets.aerial.settings import GROUND, ROAD, WATER

_DEPTHS = {
    "river": ((0.33, 0.40, 0.33), (0.15, 0.25, 0.26)),
    "sea": ((0.38, 0.56, 0.56), (0.10, 0.28, 0.42)),
    "lagoon": ((0.50, 0.74, 0.70), (0.14, 0.46, 0.58)),
}


_TRAMLINES = 13.0
"""Metres between the wheel tracks of machines in a field."""


def paint_ground(canvas: Canvas, layout: Layout) -> None:
    """Paint everything that lies flat on the ground."""
    base = MATERIALS[layout.ground]
    canvas.colour[:] = _colours(canvas, base)
    canvas.surface[:] = base.surface
    for zone in layout.zones:
        _zone(canvas, zone)
    if layout.waters or layout.roads:
        x, y = canvas.camera.ground()
        for water in layout.waters:
            _water(canvas, water, x, y)
        strips = [strip for road in layout.roads if (strip := _strip(canvas, road, x, y))]
        for paint in (_bed, _carriageway, _lines):
            for strip in strips:
                paint(canvas, strip)
    for zone in layout.markings:
        _zone(canvas, zone)


def _colours(canvas: Canvas, material: Material) -> Plane:
    return material.colours(canvas.broad, canvas.fine, canvas.grain)


def _zone(canvas: Canvas, zone: Zone) -> None:
    frame = canvas.frame(zone.x, zone.y, zone.heading, zone.length / 2, zone.width / 2, clip=True)
    if frame is None:
        return
    material = MATERIALS[zone.material]
    there, _ = canvas.inside(frame)
    fine, grain = canvas.fine[there], canvas.grain[there]
    rows = None
    if zone.rows:
        rows = np.sin(frame.v * np.float32(2 * math.pi / zone.rows) + 0.5 * fine)
        rows *= np.float32(min(1.0, zone.rows * frame.scale / 6))
        wheel = np.abs(np.abs(frame.v % np.float32(_TRAMLINES) - _TRAMLINES / 2) - 0.9)
        rows -= 1.4 * np.clip((0.35 - wheel) * 5, 0, 1)
    alpha = frame.box(0, 0, zone.length / 2, zone.width / 2, zone.radius)
    if zone.material == "paint":
        alpha = alpha * np.clip(0.85 + 0.2 * fine, 0.2, 1)
    colour = material.colours(canvas.broad[there], fine, grain, rows, zone.tint)
    canvas.paint(frame, colour, alpha, material.surface)


def _water(canvas: Canvas, water: Water, x: Plane, y: Plane) -> None:
    wobble = 1.6 if water.kind == "lake" else 0.35
    distance = (water.distance(x, y) + wobble * canvas.broad + 0.12 * canvas.fine).astype(np.float32)
    scale = np.float32(canvas.camera.scale)
    if water.beach:
        sand = MATERIALS["sand" if water.kind == "coast" else "dirt"]
        wet = np.clip(distance / 1.2, 0.68, 1)
        edge = np.clip((water.beach - distance) * 2, 0, 1)
        canvas.colour += (_colours(canvas, sand) * wet - canvas.colour) * edge
        canvas.surface[distance < water.beach - 0.25] = sand.surface
    inside = np.clip(0.5 - distance * scale, 0, 1)
    if not inside.any():
        return
    shallow, deep = (rgb(c) for c in _DEPTHS[water.colour])
    depth = 1 - np.exp(np.minimum(distance, 0) / (5.0 if water.kind == "coast" else 2.0))
    ripple = np.sin((x * 0.9 + y * 0.35) * 2.4 + 2.2 * canvas.broad) * 0.5 + 0.5 * canvas.fine
    colour = (shallow + (deep - shallow) * depth) * (1 + 0.05 * ripple + 0.03 * canvas.grain)
    if water.kind == "coast":
        crest = np.sin(distance * 1.5 + 1.2 * canvas.broad)
        foam = np.exp(-np.abs(distance + 0.3) * 2.2) + np.clip(crest - 0.9, 0, 1) * 4 * np.exp(distance / 4)
        foam = np.clip(foam * (0.7 + 0.5 * canvas.fine), 0, 0.9)
        colour += (np.float32(0.93) - colour) * foam
    canvas.colour += (colour - canvas.colour) * inside
    canvas.surface[inside >= 0.5] = WATER


@dataclass(frozen=True)
class _Strip:
    """The pixels on and beside a road (flat indices) and their place along and across it."""

    road: Road
    pixels: NDArray[np.int64]
    s: Plane
    t: Plane
    broad: Plane
    fine: Plane
    grain: Plane
    scale: np.float32

    def colours(self, name: str) -> Plane:
        return MATERIALS[name].colours(self.broad, self.fine, self.grain)

    def within(self, distance: Real) -> Plane:
        return np.asarray(np.clip(0.5 - distance * self.scale, 0, 1), np.float32)

    def away(self, gap: float) -> Plane:
        """Return 1 where the road is further than `gap` from each junction, else 0."""
        free = np.ones_like(self.s)
        for junction in self.road.junctions:
            free[np.abs(self.s - np.float32(junction)) < gap] = 0
        return free

    def blend(self, canvas: Canvas, colour: Plane | float, alpha: Plane, surface: int | None = None) -> None:
        flat = canvas.colour.reshape(3, -1)
        below = flat[:, self.pixels]
        flat[:, self.pixels] = below + (colour - below) * alpha
        if surface is not None:
            canvas.surface.reshape(-1)[self.pixels[alpha >= 0.5]] = surface


def _strip(canvas: Canvas, road: Road, x: Plane, y: Plane) -> _Strip | None:
    half = road.width / 2 + road.pavement + 2
    if abs(road.line.offset) - road.line.bend - half > canvas.camera.reach:
        return None
    s, t = road.line.along(x, y)
    pixels = np.flatnonzero(np.abs(t) < half)
    if not len(pixels):
        return None
    s, t, broad, fine, grain = (
        np.asarray(p, np.float32).reshape(-1)[pixels] for p in (s, t, canvas.broad, canvas.fine, canvas.grain)
    )
    return _Strip(road, pixels, s, t, broad, fine, grain, np.float32(canvas.camera.scale))


def _bed(canvas: Canvas, strip: _Strip) -> None:
    """Paint what lies beside the carriageway: pavement or verge."""
    road, across = strip.road, np.abs(strip.t)
    flooded = canvas.surface.reshape(-1)[strip.pixels] == WATER
    if flooded.any():
        deck = strip.within(across - road.width / 2 - 0.7) * flooded
        strip.blend(canvas, strip.colours("planks" if road.lanes < 2 else "concrete"), deck, ROAD)
    if road.pavement:
        joints = (np.abs(strip.s % 1.5 - 0.75) > 0.7) | (np.abs(across % 1.5 - 0.75) > 0.7)
        slabs = strip.colours("concrete") * (1 - np.float32(0.07) * joints)
        strip.blend(canvas, slabs, strip.within(across - road.width / 2 - road.pavement), GROUND)
    elif road.kind == "country":
        soft = np.clip((road.width / 2 + 1.2 + 0.25 * strip.fine - across) * 1.2, 0, 1) * np.float32(0.7)
        strip.blend(canvas, strip.colours("dirt"), soft)


def _carriageway(canvas: Canvas, strip: _Strip) -> None:
    road, across = strip.road, np.abs(strip.t)
    if road.kind in ("track", "path"):
        wobble = 0.18 * strip.fine + 0.15 * strip.broad
        soft = np.clip((road.width / 2 + wobble - across) * 1.8, 0, 1)
        if road.kind == "track":
            soft = soft * (1 - 0.7 * np.exp(-((across / 0.5) ** 2)))
        surface = canvas.surface.reshape(-1)
        bridge = surface[strip.pixels] == ROAD
        strip.blend(canvas, strip.colours("dirt"), np.where(bridge, 0, soft))
        surface[strip.pixels[across < road.width / 2]] = ROAD
        return
    worn = np.cos(strip.t * np.float32(4 * math.pi * road.lanes / road.width))
    colour = strip.colours("asphalt") * (1 + np.float32(0.03) * worn)
    strip.blend(canvas, colour, strip.within(across - road.width / 2), ROAD)
    if road.kind == "street":
        kerb = strip.within(np.abs(across - road.width / 2 - 0.1) - 0.12) * np.float32(0.6)
        strip.blend(canvas, 0.72, kerb * strip.away(road.width / 2 + 1))


def _lines(canvas: Canvas, strip: _Strip) -> None:
    road = strip.road
    if road.lanes < 2:
        return
    lane = road.width / road.lanes
    half = max(0.07, 0.45 / canvas.camera.scale)
    line = np.zeros_like(strip.t)
    for number in range(1, road.lanes):
        stroke = strip.within(np.abs(strip.t - (number * lane - road.width / 2)) - half)
        solid = road.lanes > 2 and number * 2 == road.lanes
        line = np.maximum(line, stroke if solid else stroke * (strip.s % 7.5 < 3.2))
    if road.kind == "country":
        line = np.maximum(line, strip.within(np.abs(np.abs(strip.t) - road.width / 2 + 0.3) - half))
    worn = np.clip(0.8 + 0.25 * strip.fine, 0.1, 1)
    strip.blend(canvas, 0.85, line * worn * strip.away(road.width / 2 + 4.6))
