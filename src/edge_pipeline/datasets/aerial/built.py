"""Places that people have built: cities, suburbs and car parks."""

import math

import numpy as np

from edge_pipeline.datasets.aerial.builder import Builder
from edge_pipeline.datasets.aerial.layout import Curve, Road, Water

HALF_TURN = math.pi / 2


def city(b: Builder) -> None:
    """Streets at right angles, blocks of houses, courtyards and small parks."""
    b.layout.ground = "paved"
    block = b.number(34, 52)
    width = float(b.rng.choice([8.0, 10.0, 13.0]))
    pavement = b.number(2.2, 3.4)
    shift_x, shift_y = b.number(-0.5, 0.5) * min(block, b.reach), b.number(-0.25, 0.25) * min(block, b.reach)
    if b.chance(0.5):
        shift_x, shift_y = shift_y, shift_x
    reps = range(-int(b.reach / block) - 1, int(b.reach / block) + 2)
    lines_x, lines_y = [i * block + shift_x for i in reps], [i * block + shift_y for i in reps]
    lanes = 2 if width < 12 else 4
    streets = []
    for y in lines_y:
        line = Curve(0.0, y)
        streets.append(b.road(Road(line, width, "street", lanes, pavement, tuple(lines_x))))
    for x in lines_x:
        line = Curve(HALF_TURN, -x)
        streets.append(b.road(Road(line, 8.0, "street", 2, pavement, tuple(lines_y))))
    for road in streets:
        edge = (8.0 if road.line.angle == 0 else width) / 2 + 2.6
        if b.chance(0.75):
            for s in road.junctions:
                _zebra(b, road, s - edge)
                _zebra(b, road, s + edge)
    for x in lines_x:
        for y in lines_y:
            _block(b, x + block / 2, y + block / 2, block - 8 - 2 * pavement, block - width - 2 * pavement)
    for road in streets:
        b.traffic(road, 16, 0.12, 0.12)
        if road.width == 10.0 or (road.width == 8.0 and b.chance(0.4)):
            for side in (-1, 1):
                b.parked(road, side, 0.55)
        b.pedestrians(road, 0.9)
        if b.chance(0.6):
            for s in np.arange(-b.reach, b.reach, b.number(8, 13)):
                if all(abs(s - j) > 9 for j in road.junctions):
                    for side in (-1, 1):
                        x, y, _ = road.line.at(float(s), side * (road.width / 2 + 0.9))
                        b.tree(x, y, b.number(1.4, 2.6))


def _zebra(b: Builder, road: Road, s: float) -> None:
    x, y, heading = road.line.at(s, 0)
    bars = max(3, int(road.width / 1.1))
    for i in range(bars):
        t = (i + 0.5) * road.width / bars - road.width / 2
        x, y, heading = road.line.at(s, t)
        b.zone(x, y, 2.8, 0.55, heading, "paint", over=True)


def _block(b: Builder, x: float, y: float, length: float, width: float) -> None:
    if not b.camera.sees(x, y, math.hypot(length, width) / 2 + 8):
        return
    if b.chance(0.2):
        b.zone(x, y, length, width, 0, "lawn", radius=1.5)
        b.zone(x, y, length, 2.5, 0.35, "gravel")
        b.people(int(b.number(3, 9)), x, y, length, width, 0)
        b.trees(int(length * width / 55), x, y, length, width)
        return
    columns, rows = max(1, round(length / b.number(14, 26))), max(1, round(width / b.number(14, 24)))
    for i in range(columns):
        for j in range(rows):
            px, py = x - length / 2 + (i + 0.5) * length / columns, y - width / 2 + (j + 0.5) * width / rows
            if b.chance(0.12):
                _courtyard(b, px, py, length / columns - 1, width / rows - 1)
                continue
            gap = float(b.rng.choice([0.8, 3.0, 5.0]))
            flat = b.chance(0.75)
            b.house(
                px,
                py,
                length / columns - gap,
                width / rows - gap,
                0,
                b.number(6, 17),
                "flat" if flat else "hipped",
                b.roof_colour(flat=flat),
            )


def _courtyard(b: Builder, x: float, y: float, length: float, width: float) -> None:
    b.zone(x, y, length, width, 0, "asphalt")
    for i in range(int(length / 2.7)):
        if b.chance(0.7):
            b.thing("car", x - length / 2 + 1.6 + i * 2.7, y - width / 2 + 2.8, HALF_TURN)
    b.trees(2, x, y + width / 4, length, width / 2)


def suburb(b: Builder) -> None:
    """Winding streets, houses with gardens, drives and pools."""
    b.layout.ground = "lawn"
    bend = b.number(0, 5)
    spacing = b.number(58, 70)
    shift = b.number(-6, 6)
    reps = range(-int(b.reach / spacing) - 1, int(b.reach / spacing) + 2)
    phase = b.number(0, 6)
    roads = [
        b.road(Road(Curve(0, shift + i * spacing, bend, 35, phase), 6.4, "street", 2, b.number(1.2, 2.0))) for i in reps
    ]
    if b.chance(0.25):
        b.water(Water("lake", x=b.number(-30, 30), y=spacing / 2 + shift, extent=b.number(7, 13)))
    for road in roads:
        for side in (-1, 1):
            s = -b.reach + b.number(0, 8)
            while s < b.reach:
                lot = b.number(14, 21)
                _lot(b, road, s + lot / 2, side, lot, spacing / 2)
                s += lot
        b.traffic(road, 22, 0.07, 0.12)
        b.parked(road, 1, 0.18)
        b.pedestrians(road, 0.45)
        if b.chance(0.6):
            for s in np.arange(-b.reach, b.reach, b.number(9, 16)):
                side = 1 if b.chance(0.5) else -1
                x, y, _ = road.line.at(float(s), side * (road.width / 2 + road.pavement + 1.2))
                b.tree(x, y, b.number(1.6, 3.2))


def _lot(b: Builder, road: Road, s: float, side: int, lot: float, depth: float) -> None:
    x, y, heading = road.line.at(s, side * 15)
    if not b.camera.sees(x, y, 22):
        return
    edge = road.width / 2 + road.pavement
    length, width = b.number(9, min(13.5, lot - 4)), b.number(7, 9.5)
    setback = b.number(4.5, 7.5)
    hx, hy, _ = road.line.at(s + b.number(-1, 0.5), side * (edge + setback + width / 2))
    across = b.chance(0.3)
    ux, uy, _ = road.line.at(s + lot / 2 - 2.2, side * (edge + setback / 2 + 0.8))
    drive = setback + 1.6
    b.zone(ux, uy, 3.2, drive, heading, "concrete")
    roof = "hipped" if b.chance(0.35) else "gabled"
    if across:
        length, width = min(length, 11), min(width, 8.5)
    b.house(hx, hy, length, width, heading, b.number(3.2, 6), roof, b.roof_colour(flat=False))
    if b.chance(0.65):
        turn = heading + HALF_TURN * (1 if b.chance(0.5) else -1)
        b.thing("car", ux, uy, turn + b.number(-0.06, 0.06))
    back = edge + setback + width
    gx, gy, _ = road.line.at(s, side * (back + (depth - back) / 2))
    if b.chance(0.2):
        b.claim(gx, gy, 7, 4, heading)
        b.zone(gx, gy, 8.0, 5.0, heading, "concrete", radius=0.5)
        b.zone(gx, gy, 6.4, 3.4, heading, "pool", radius=0.8)
    elif b.chance(0.3):
        b.zone(gx, gy, 4, 3, heading, "soil", rows=0.8)
    hedge = b.chance(0.5)
    for t in np.arange(edge + 0.8, depth - 0.5, 1.3):
        if hedge:
            px, py, _ = road.line.at(s - lot / 2, side * float(t))
            b.tree(px, py, b.number(0.65, 0.9), "bush", over=True)
    b.trees(int(b.number(2, 5)), gx, gy, lot - 2, depth - back - 1, heading)
    if b.chance(0.3):
        b.people(1, gx, gy, lot - 2, 8, heading)


def car_park(b: Builder) -> None:
    """Rows of bays on asphalt or gravel, with what lies around them."""
    b.layout.ground = str(b.rng.choice(["lawn", "paved", "meadow"]))
    bay, depth, aisle = 2.55, 5.0, b.number(6.0, 7.0)
    pitch = 2 * depth + aisle
    rows, half = int(b.rng.integers(2, 5)), b.number(16, 34)
    shift = b.number(-0.5, 0.5) * pitch
    height = rows * pitch
    b.zone(0, shift, 2 * half, height, 0, "asphalt" if b.chance(0.75) else "gravel", radius=1.5)
    islands, filled = b.chance(0.6), b.number(0.35, 0.9)
    for row in range(rows):
        middle = shift + (row + 0.5) * pitch - height / 2
        for k in range(-int(half / bay) + 1, int(half / bay)):
            _bay(b, k * bay, middle, bay, depth, islands and k % 9 == 0, filled)
        b.zone(0, middle, 2 * half - 4, 0.12, 0, "paint", over=True)
        for side in (-1, 1):
            lane = middle + side * (depth + aisle / 4)
            if b.chance(0.75):
                kind = str(b.rng.choice(["car", "truck", "bus"], p=[0.5, 0.28, 0.22]))
                b.thing(kind, b.number(-0.8, 0.8) * half, lane, 0.0 if side > 0 else math.pi)
        b.people(2 + int(half / 12), 0, middle + depth + aisle / 2, 2 * half, aisle - 1, 0)
    edge = height / 2 + b.number(5.5, 9)
    if b.chance(0.85):
        side = 1 if b.chance(0.5) else -1
        road = b.road(Road(Curve(0.0, shift + side * edge), 6.6, "street", 2, 1.6))
        b.zone(b.number(-0.6, 0.6) * half, shift + side * (edge - 3), 7, 8, HALF_TURN, "asphalt")
        b.traffic(road, 24, 0.12, 0.15)
        b.pedestrians(road, 0.4)
    if b.chance(0.6):
        x = (half + 15) * (1 if b.chance(0.5) else -1)
        b.house(x, shift, 24, height * 0.9, 0, b.number(6, 10), "flat", b.roof_colour(flat=True))
    b.claim(0, shift, 2 * half, height, 0, force=True)
    b.trees(int(b.reach * 1.5), 0, 0, 2 * b.reach, 2 * b.reach)


def _bay(b: Builder, x: float, middle: float, bay: float, depth: float, island: bool, filled: float) -> None:
    if island:
        b.zone(x, middle, 2.3, 2 * depth - 0.6, 0, "lawn", over=True, radius=1.1)
        for y in (middle - 2.3, middle + 2.3):
            b.tree(x, y, b.number(1.2, 2.2))
        b.claim(x, middle, 2.4, 2 * depth, 0, force=True)
        return
    b.zone(x - bay / 2, middle, 0.12, 2 * depth, 0, "paint", over=True)
    for side in (-1, 1):
        if b.chance(filled):
            turn = HALF_TURN * (1 if b.chance(0.5) else -1) + b.number(-0.04, 0.04)
            b.thing("car", x + b.number(-0.15, 0.15), middle + side * (depth / 2 + b.number(-0.2, 0.1)), turn)
