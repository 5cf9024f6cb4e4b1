"""Open country: farmland, forests and coasts."""

import math

import numpy as np

from edge_pipeline.datasets.aerial.builder import Builder
from edge_pipeline.datasets.aerial.layout import Curve, Road, Water

HALF_TURN = math.pi / 2


def farmland(b: Builder) -> None:
    """Fields, a road or track, farms, tree rows, sometimes a river."""
    b.layout.ground = "meadow"
    crops = ("wheat", "soil", "green_crop", "meadow", "rape", "stubble")
    y = -b.reach
    shift = b.number(-0.4, 0.4) * min(b.reach, 12)
    while y < b.reach:
        depth = b.number(14, 42)
        x = -b.reach + b.number(-20, 0)
        while x < b.reach:
            length = b.number(18, 65)
            crop = crops[int(b.rng.integers(len(crops)))]
            turned = b.chance(0.35)
            size = (depth - 0.8, length - 0.8) if turned else (length - 0.8, depth - 0.8)
            heading = HALF_TURN if turned else 0.0
            b.zone(x + length / 2, y + depth / 2, *size, heading, crop, rows=b.number(1.1, 2.6))
            x += length
        y += depth
    line = Curve(0.0 if b.chance(0.6) else HALF_TURN, shift, b.number(0, 4), 40, b.number(0, 6))
    paved = b.chance(0.6)
    if b.chance(0.25):
        b.water(Water("river", Curve(line.angle + b.number(0.7, 1.2), b.number(-12, 12), b.number(1, 4), 20), 6.5))
    road = b.road(Road(line, 6.0 if paved else 3.4, "country" if paved else "track", 2 if paved else 1))
    b.traffic(road, 12 if paved else 18, 0.08, 0.4)
    b.pedestrians(road, 0.5)
    if b.chance(0.6):
        for s in np.arange(-b.reach, b.reach, b.number(6, 12)):
            px, py, _ = road.line.at(float(s), road.width / 2 + 2.2)
            if b.chance(0.7):
                b.tree(px, py, b.number(1.5, 3.2))
    for _ in range(max(1, int(b.reach / 40))):
        if b.chance(0.45):
            _farm(b, road, b.number(-0.7, 0.7) * b.reach)
    b.people(int(b.rng.poisson(min(b.reach / 4, 14))), 0, 0, 2 * b.reach, 2 * b.reach, 0)


def _farm(b: Builder, road: Road, s: float) -> None:
    side = 1 if b.chance(0.5) else -1
    x, y, heading = road.line.at(s, side * 20)
    b.zone(x, y, 34, 32, heading, "gravel", radius=3)
    for u in (-9.0, 6.0):
        hx, hy, _ = road.line.at(s + u, side * b.number(17, 25))
        barn = b.chance(0.6)
        length, width = (b.number(16, 22), b.number(9, 12)) if barn else (b.number(10, 13), b.number(8, 9))
        b.house(hx, hy, length, width, heading + HALF_TURN, b.number(4, 7), "gabled", b.roof_colour(flat=False))
    for _ in range(4):
        vx, vy, _ = road.line.at(s + b.number(-14, 14), side * b.number(6, 12))
        b.thing("truck" if b.chance(0.4) else "car", vx, vy, b.number(0, 6.28))
    b.people(2, x, y, 28, 28, heading)
    b.trees(6, x, y, 40, 36, heading)


def forest(b: Builder) -> None:
    """Trees all over, a road, track or path, clearings, sometimes water."""
    b.layout.ground = "forest_floor"
    line = Curve(0.0, b.number(-5, 5), b.number(1, 6), 28, b.number(0, 6))
    kind = str(b.rng.choice(["country", "track", "path"], p=[0.4, 0.35, 0.25]))
    width = {"country": 6.2, "track": 3.4, "path": 2.2}[kind]
    clearing = b.chance(0.45)
    if b.chance(0.25):
        b.water(Water("river", Curve(b.number(0.8, 2.2), b.number(-8, 8), b.number(1, 4), 16), b.number(4, 9)))
    elif b.chance(0.25):
        b.water(Water("lake", x=b.number(-12, 12), y=b.number(14, 22), extent=b.number(8, 15)))
    road = b.road(Road(line, width, kind, 2 if kind == "country" else 1))
    if kind != "path":
        b.traffic(road, 13 if kind == "country" else 16, 0.08, 0.25)
    b.pedestrians(road, 0.9)
    if clearing:
        x, y, heading = line.at(b.number(-10, 10), 9.5 if b.chance(0.5) else -9.5)
        b.zone(x, y, b.number(14, 22), 13, heading, "meadow", radius=5)
        c, s = math.cos(heading), math.sin(heading)
        for u in (-4.5, -1.5, 1.5, 4.5):
            if b.chance(0.5):
                b.thing("car", x + u * c, y + u * s, heading + HALF_TURN)
        b.people(4, x, y, 14, 9, heading)
        b.claim(x, y, 13, 9, heading, force=True)
    conifers = float(b.rng.choice([0.05, 0.5, 0.95]))
    spacing = b.number(3.3, 4.6)
    count = int(b.reach / spacing)
    for i in range(-count, count + 1):
        for j in range(-count, count + 1):
            x, y = (i + b.number(-0.42, 0.42)) * spacing, (j + b.number(-0.42, 0.42)) * spacing
            if not b.camera.sees(x, y, 4) or b.chance(0.08):
                continue
            conifer = b.chance(conifers)
            b.tree(x, y, b.number(1.5, 2.4) if conifer else b.number(1.8, 3.6), "conifer" if conifer else "broad")


def coast(b: Builder) -> None:
    """The sea, a beach, boats, a road and houses along the shore."""
    b.layout.ground = "sand" if b.chance(0.7) else "meadow"
    beach = b.number(4, 14)
    shore = Curve(0.0, b.number(-0.3, 0.3) * min(b.reach, 14), b.number(1, 3), 22, b.number(0, 6))
    sea = b.water(Water("coast", shore, beach=beach, colour=str(b.rng.choice(["sea", "lagoon"]))))
    inland = shore.offset - beach - b.number(4, 9)
    if b.chance(0.7):
        road = b.road(Road(Curve(0.0, inland), 6.4, "street" if b.chance(0.5) else "country", 2, 2.0))
        b.traffic(road, 22, 0.12, 0.12)
        b.parked(road, 1, 0.3)
        b.pedestrians(road, 0.6)
        x = -b.reach
        while x < b.reach:
            length = b.number(9, 15)
            if b.chance(0.5):
                flat = b.chance(0.4)
                roof = "flat" if flat else "hipped"
                y = inland - b.number(13, 17)
                b.house(x, y, length, b.number(8, 11), 0, b.number(4, 9), roof, b.roof_colour(flat=flat))
            x += length + b.number(2, 8)
        b.trees(int(b.reach / 2), 0, inland - 14, 2 * b.reach, 22)
    else:
        b.trees(int(b.reach), 0, inland - 14, 2 * b.reach, 26)
    if b.chance(0.4):
        _jetty(b, sea, b.number(-0.6, 0.6) * b.reach)
    for _ in range(2 + int(b.reach / 5)):
        x, t = b.number(-b.reach, b.reach), b.number(4, max(6, b.reach))
        px, py, heading = shore.at(x, t)
        moving = t > 10 and b.chance(0.5)
        if b.claim(px, py, 0.4, 0.4, 0, force=True) and all(
            math.hypot(px - o.x, py - o.y) > 7 for o in b.layout.things
        ):
            b.thing(
                "boat",
                px,
                py,
                heading + b.number(-0.5, 0.5) + (HALF_TURN if b.chance(0.3) else 0),
                on_road=True,
                moving=moving,
            )
    for _ in range(int(b.rng.poisson(b.reach / 2.2))):
        x, t = b.number(-b.reach, b.reach), -b.number(0.8, beach + 2)
        px, py, _ = shore.at(x, t)
        if b.thing("person", px, py, b.number(0, 6.28)) and b.chance(0.4) and b.claim(px + 1.6, py, 1.5, 1, 0):
            b.zone(px + 1.6, py, 1.9, 0.9, b.number(0, 3), str(b.rng.choice(["towel_a", "towel_b"])), over=True)


def _jetty(b: Builder, sea: Water, s: float) -> None:
    for i in range(9):
        x, y, _ = sea.line.at(s, 0)
        b.zone(x, y + i * 2.0, 2.1, 2.1, 0, "planks", over=True)
    x, y0, _ = sea.line.at(s, 0)
    for i in range(4):
        for side in (-1, 1):
            if b.chance(0.6):
                b.thing("boat", x + side * 4.6, y0 + 3.5 + i * 3.6, 0.0 if side > 0 else math.pi, on_road=True)
    b.thing("person", x, y0 + b.number(4, 14), HALF_TURN, on_road=True)
