"""Paint buildings: walls that lean away from the picture's centre, and roofs."""

import math

import numpy as np

from edge_pipeline.datasets.aerial.camera import Plane
from edge_pipeline.datasets.aerial.canvas import Canvas, Frame, rgb
from edge_pipeline.datasets.aerial.layout import Building, Colour
from edge_pipeline.datasets.aerial.light import Light
from edge_pipeline.datasets.aerial.settings import BUILDING

_STOREY = 3.0


def raise_building(canvas: Canvas, building: Building) -> None:
    """Enter a building into the heights that cast shadows."""
    a, b = building.length / 2, building.width / 2
    frame = canvas.frame(building.x, building.y, building.heading, a, b, clip=True)
    if frame is None:
        return
    there, _ = canvas.inside(frame)
    height = np.full(frame.u.shape, building.height, np.float32)
    if building.roof != "flat":
        height += 0.5 * np.maximum(b - np.abs(frame.v), 0)
    inside = (np.abs(frame.u) <= a) & (np.abs(frame.v) <= b)
    canvas.height[there][inside] = height[inside]


def paint_building(canvas: Canvas, building: Building, light: Light) -> None:
    """Paint a building over the ground, lit."""
    camera = canvas.camera
    a, b = building.length / 2, building.width / 2
    angle = building.heading + camera.angle
    column, row = camera.pixel(building.x, building.y)
    base = _corners(column, row, angle, a * camera.scale, b * camera.scale)
    top_column, top_row, k = camera.lean(column, row, building.height)
    roof = _corners(top_column, top_row, angle, a * camera.scale * k, b * camera.scale * k)
    for side in range(4):
        normal = angle + (0.0, math.pi / 2, math.pi, -math.pi / 2)[side]
        facing = math.cos(normal) * (base[side][0] - camera.canvas[1] / 2) + math.sin(normal) * (
            base[side][1] - camera.canvas[0] / 2
        )
        if facing < 0:
            quad = (base[side], base[(side + 1) % 4], roof[(side + 1) % 4], roof[side])
            _wall(canvas, building, quad, float(light.on(math.cos(normal - light.azimuth), 0.0)), side)
    frame = canvas.frame_at(top_column, top_row, angle, a + 0.3, b + 0.3, camera.scale * k, clip=True)
    if frame is not None:
        _roof(canvas, building, frame, light, angle)


Point = tuple[float, float]


def _corners(column: float, row: float, angle: float, a: float, b: float) -> list[Point]:
    """Return the corners so that side i, from corner i to i + 1, faces forward, right, back, left."""
    c, s = math.cos(angle), math.sin(angle)
    return [(column + u * c - v * s, row + u * s + v * c) for u, v in ((a, -b), (a, b), (-a, b), (-a, -b))]


def _wall(canvas: Canvas, building: Building, quad: tuple[Point, Point, Point, Point], lit: float, side: int) -> None:
    columns, rows = [p[0] for p in quad], [p[1] for p in quad]
    height, width = canvas.height.shape
    left, right = max(int(min(columns)) - 1, 0), min(int(max(columns)) + 2, width)
    top, bottom = max(int(min(rows)) - 1, 0), min(int(max(rows)) + 2, height)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    distance = np.full((bottom - top, right - left), -np.inf, np.float32)
    area = sum(quad[i][0] * quad[(i + 1) % 4][1] - quad[(i + 1) % 4][0] * quad[i][1] for i in range(4))
    turn = 1.0 if area < 0 else -1.0
    for i in range(4):
        (x0, y0), (x1, y1) = quad[i], quad[(i + 1) % 4]
        length = math.hypot(x1 - x0, y1 - y0)
        if length > 1e-3:
            edge = ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) * np.float32(turn / length)
            distance = np.maximum(distance, edge)
    alpha = np.clip(0.5 - distance, 0, 1)
    (bx, by), (ex, ey), (_, _), (rx, ry) = quad
    length = max(math.hypot(ex - bx, ey - by), 1e-3)
    du, dv = (ex - bx) / length, (ey - by) / length
    rise = (rx - bx) * -dv + (ry - by) * du
    if abs(rise) < 0.5:
        return
    up = ((x - bx) * -dv + (y - by) * du) / np.float32(rise)
    along = ((x - bx) * du + (y - by) * dv) / np.float32(length)
    storeys = max(1, round(building.height / _STOREY))
    wall_length = building.width if side in (0, 2) else building.length
    windows = max(1, round(wall_length / 2.6))
    glass = ((np.abs((up * storeys) % 1 - 0.52) < 0.24) & (np.abs((along * windows) % 1 - 0.5) < 0.27)).astype(
        np.float32
    )
    colour = np.empty((3, *alpha.shape), np.float32)
    colour[:] = rgb(building.wall)
    colour += (rgb((0.16, 0.19, 0.23)) - colour) * (np.float32(0.8) * glass)
    colour *= (0.8 + 0.2 * np.clip(up, 0, 1)) * np.float32(lit)
    frame = Frame(top, left, alpha, alpha, 1.0)
    canvas.paint(frame, colour, alpha, BUILDING, 0)


def _roof(canvas: Canvas, building: Building, frame: Frame, light: Light, angle: float) -> None:
    a, b = building.length / 2 + 0.25, building.width / 2 + 0.25
    rng = np.random.Generator(np.random.PCG64(building.seed))
    there, _ = canvas.inside(frame)
    fine, grain, broad = canvas.fine[there], canvas.grain[there], canvas.broad[there]
    alpha = frame.box(0, 0, a, b)
    sun_u, sun_v = math.cos(light.azimuth - angle), math.sin(light.azimuth - angle)
    colour = np.empty((3, *frame.u.shape), np.float32)
    colour[:] = rgb(building.colour)
    if building.roof == "flat":
        colour *= 1 + 0.04 * broad + 0.03 * fine + 0.03 * grain
        _flat_roof(frame, colour, a, b, rng, light, (sun_u, sun_v))
    else:
        colour *= 1 + 0.05 * fine + 0.05 * grain
        _pitched_roof(frame, colour, building.roof == "hipped", a, b, rng, light, (sun_u, sun_v))
    canvas.paint(frame, colour, alpha, BUILDING, 0)


def _over(colour: Plane, value: Colour, cover: Plane) -> None:
    colour += (rgb(value) - colour) * cover


def _flat_roof(
    frame: Frame, colour: Plane, a: float, b: float, rng: np.random.Generator, light: Light, sun: tuple[float, float]
) -> None:
    inner = frame.box(0, 0, a - 0.45, b - 0.45)
    shift = 0.5 / math.tan(light.elevation)
    lit = frame.box(-sun[0] * shift, -sun[1] * shift, a - 0.45, b - 0.45)
    colour *= 1 - 0.9 * light.strength * inner * (1 - lit)
    colour *= 1 + 0.16 * (1 - inner)
    if rng.random() < 0.35:
        seams = (np.abs(frame.u % 2.4 - 1.2) < 0.07).astype(np.float32) * inner
        colour *= 1 - 0.08 * seams
    for _ in range(int(rng.integers(1, 3 + int(a * b / 18)))):
        pu, pv = (
            float(rng.uniform(-a + 2, a - 2)) if a > 2 else 0.0,
            float(rng.uniform(-b + 2, b - 2)) if b > 2 else 0.0,
        )
        hu, hv, height = float(rng.uniform(0.5, 1.5)), float(rng.uniform(0.5, 1.2)), float(rng.uniform(0.7, 1.8))
        fall = height / math.tan(light.elevation)
        for part in (0.35, 0.7, 1.0):
            shade = frame.box(pu - sun[0] * fall * part, pv - sun[1] * fall * part, hu, hv) * inner
            colour *= 1 - 0.4 * light.strength * shade
        grey = float(rng.uniform(0.45, 0.8))
        _over(colour, (grey, grey, grey * 1.02), frame.box(pu, pv, hu, hv))
        _over(colour, (grey * 0.55,) * 3, frame.disc(pu, pv, hu * 0.5, hv * 0.5) * np.float32(0.7))
    if rng.random() < 0.2 and min(a, b) > 4:
        _panels(frame, colour, 0.0, 0.0, a * 0.5, b * 0.5)


def _panels(frame: Frame, colour: Plane, u: float, v: float, half_u: float, half_v: float) -> None:
    cover = frame.box(u, v, half_u, half_v)
    _over(colour, (0.10, 0.14, 0.26), cover * np.float32(0.95))
    grid = ((frame.u % 1.1 < 0.1) | (frame.v % 1.7 < 0.1)).astype(np.float32)
    _over(colour, (0.55, 0.58, 0.62), cover * grid * np.float32(0.5))


def _pitched_roof(
    frame: Frame,
    colour: Plane,
    hipped: bool,
    a: float,
    b: float,
    rng: np.random.Generator,
    light: Light,
    sun: tuple[float, float],
) -> None:
    u, v = frame.u, frame.v
    tilt, up = math.sin(0.55), math.cos(0.55)
    ends = (np.abs(u) - (a - b) > np.abs(v)) if hipped and a > b else np.zeros(u.shape, np.bool_)
    if hipped and a <= b:
        ends = np.abs(u) - a > np.abs(v) - b
    towards = np.where(ends, np.sign(u) * np.float32(sun[0]), np.sign(v) * np.float32(sun[1])) * np.float32(tilt)
    lit = np.asarray(light.on(towards, up), np.float32)
    run = np.where(ends, a - np.abs(u), b - np.abs(v))
    courses = np.sin(run * np.float32(2 * math.pi / 0.55)) * np.float32(0.05 * min(1, frame.scale / 9))
    colour *= lit * (1 + courses)
    ridge = frame.box(0, 0, a - b if hipped and a > b else a, 0.14)
    if hipped and a > b:
        hips = frame.cover(np.abs(np.abs(u) - (a - b) - np.abs(v)) - np.float32(0.1)) * (np.abs(u) > a - b)
        ridge = np.maximum(ridge, hips)
    colour *= 1 + 0.14 * ridge
    side = 1 if rng.random() < 0.5 else -1
    if rng.random() < 0.7:
        pu, pv = float(rng.uniform(-0.6, 0.6)) * a, side * b * 0.3
        for part in (0.5, 1.0):
            shade = frame.box(pu - sun[0] * part, pv - sun[1] * part, 0.45, 0.4)
            colour *= 1 - 0.5 * light.strength * shade
        _over(colour, (0.50, 0.34, 0.28), frame.box(pu, pv, 0.45, 0.4))
        _over(colour, (0.12, 0.12, 0.12), frame.box(pu, pv, 0.2, 0.2))
    if rng.random() < 0.3:
        _panels(frame, colour, float(rng.uniform(-0.2, 0.2)) * a, -side * b * 0.5, a * 0.4, b * 0.3)
    elif rng.random() < 0.4:
        for pu in (-0.4, 0.3):
            _over(colour, (0.22, 0.26, 0.32), frame.box(pu * a, -side * b * 0.5, 0.45, 0.55) * np.float32(0.9))
