"""Paint crowns of trees. A few crowns a scene are modelled, the trees are tinted copies of them."""

import math

import numpy as np

from edge_pipeline.datasets.aerial.camera import Plane
from edge_pipeline.datasets.aerial.canvas import Canvas, Frame, rgb
from edge_pipeline.datasets.aerial.layout import Tree
from edge_pipeline.datasets.aerial.light import Light
from edge_pipeline.datasets.aerial.settings import TREE

_VARIANTS = 3
_STEP = 0.4
_TALL = {"broad": 2.0, "conifer": 3.4, "bush": 1.2}


class Crowns:
    """Makes the crowns of one scene, all in the same light."""

    def __init__(self, canvas: Canvas, light: Light, seed: int) -> None:
        self._canvas, self._light, self._seed = canvas, light, seed
        self._made: dict[tuple[str, int, int], tuple[Plane, Plane, Plane]] = {}

    def raise_tree(self, tree: Tree, number: int) -> None:
        """Enter a tree into the heights that cast shadows."""
        alpha, _, height = self._crown(tree, number)
        column, row = self._canvas.camera.pixel(tree.x, tree.y)
        frame = self._frame(alpha, column, row)
        there, here = self._canvas.inside(frame)
        if min(there[0].stop - there[0].start, there[1].stop - there[1].start) <= 0:
            return
        lifted = np.where(alpha[here] >= 0.5, height[here], 0)
        np.maximum(self._canvas.height[there], lifted, out=self._canvas.height[there])

    def paint_tree(self, tree: Tree, number: int) -> None:
        """Paint a tree over the scene, lit."""
        alpha, shade, _ = self._crown(tree, number)
        camera = self._canvas.camera
        column, row = camera.pixel(tree.x, tree.y)
        column, row, _ = camera.lean(column, row, tree.radius * _TALL[tree.kind] * 0.7)
        frame = self._frame(alpha, column, row)
        there, _ = self._canvas.inside(frame)
        if min(there[0].stop - there[0].start, there[1].stop - there[1].start) <= 0:
            return
        self._canvas.paint(frame, shade * rgb(tree.tint), alpha, TREE, 0)

    def _frame(self, alpha: Plane, column: float, row: float) -> Frame:
        top, left = round(row - alpha.shape[0] / 2), round(column - alpha.shape[1] / 2)
        return Frame(top, left, alpha, alpha, 1.0)

    def _crown(self, tree: Tree, number: int) -> tuple[Plane, Plane, Plane]:
        key = (tree.kind, max(1, round(tree.radius / _STEP)), number % _VARIANTS)
        if key not in self._made:
            kind = ("broad", "conifer", "bush").index(tree.kind)
            rng = np.random.Generator(np.random.PCG64([self._seed, kind, *key[1:]]))
            self._made[key] = _model(tree.kind, key[1] * _STEP, self._canvas.camera.scale, self._light, rng)
        return self._made[key]


def _model(
    kind: str, radius: float, scale: float, light: Light, rng: np.random.Generator
) -> tuple[Plane, Plane, Plane]:
    """Return coverage, brightness and height (metres) of a crown of `radius` metres."""
    half = int(radius * scale * 1.15) + 2
    axis = (np.arange(-half, half + 1, dtype=np.float32)) / np.float32(radius * scale)
    x, y = axis[None], axis[:, None]
    noise = rng.standard_normal((len(axis), len(axis)), np.float32)
    leaves = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) * np.float32(0.5)
    surface = _conifer(x, y, rng) if kind == "conifer" else _broad(x, y, rng)
    surface += np.float32(0.03) * leaves * (surface > 0)
    alpha = np.clip(surface * np.float32(radius * scale * 0.45), 0, 1)
    slope_y, slope_x = np.gradient(surface * np.float32(radius * scale))
    norm = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    towards = -(slope_x * math.cos(light.azimuth) + slope_y * math.sin(light.azimuth)) * norm
    lit = np.asarray(light.on(towards, norm), np.float32)
    depth = 0.6 + 0.5 * np.clip(surface / max(float(surface.max()), 1e-3), 0, 1)
    shade = np.clip(lit * depth + 0.07 * leaves, 0.1, 1.9).astype(np.float32)
    height = np.float32(radius * _TALL[kind]) * (0.55 + 0.45 * np.clip(surface / max(float(surface.max()), 1e-3), 0, 1))
    return alpha, shade, height


def _broad(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    """Return the surface of a crown of overlapping balls of leaves; `x` (1, n) and `y` (n, 1) are in radii."""
    surface = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    step = float(x[0, 1] - x[0, 0])
    stretch = float(rng.uniform(0.85, 1.15))
    for number in range(int(rng.integers(11, 17))):
        distance, turn = (0.15, 0.0) if number == 0 else (math.sqrt(rng.uniform(0.05, 1)) * 0.68, rng.uniform(0, 6.283))
        size = float(rng.uniform(0.30, 0.44)) if number else 0.55
        cx, cy = distance * math.cos(turn) * stretch, distance * math.sin(turn) / stretch
        left, right = (max(int((cx - float(x[0, 0]) + sign * size) / step) + (sign > 0), 0) for sign in (-1, 1))
        top, bottom = (max(int((cy - float(x[0, 0]) + sign * size) / step) + (sign > 0), 0) for sign in (-1, 1))
        inside = np.float32(size**2) - (x[:, left:right] - np.float32(cx)) ** 2 - (y[top:bottom] - np.float32(cy)) ** 2
        ball = np.sqrt(np.maximum(inside, 0)) + np.float32(0.35 * (1 - distance)) * (inside > 0)
        np.maximum(surface[top:bottom, left:right], ball, out=surface[top:bottom, left:right])
    return surface


def _conifer(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    arms, phase = int(rng.integers(11, 17)), float(rng.uniform(0, 6.283))
    branches = np.sin(turn * arms + phase) + 0.6 * np.sin(turn * (2 * arms + 3) + 3 * phase + 4 * radius)
    edge = 0.86 + 0.07 * branches
    cone = 1.2 * (edge - radius) + 0.05 * branches * radius
    return np.where(radius < edge, np.maximum(cone, 0), 0).astype(np.float32)
