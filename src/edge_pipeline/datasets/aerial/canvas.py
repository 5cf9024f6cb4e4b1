"""The buffers a scene is painted into, and how one shape is painted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.datasets.aerial.camera import Camera, Plane, Real
from edge_pipeline.datasets.aerial.layout import Colour
from edge_pipeline.datasets.aerial.settings import GROUND


def rgb(colour: Colour) -> Plane:
    """Return a colour as float32 (3, 1, 1)."""
    return np.asarray(colour, np.float32).reshape(3, 1, 1)


@dataclass(frozen=True)
class Frame:
    """A rectangle of pixels around a shape, with the shape's own coordinates (metres, u forward, v to the right).

    `row` and `column` may lie outside the canvas.
    """

    row: int
    column: int
    u: Plane
    v: Plane
    scale: float

    def box(self, u: float, v: float, half_u: float, half_v: float, radius: float = 0.0) -> Plane:
        """Return the coverage (0 to 1) of a rectangle centred on (u, v), its corners rounded."""
        a = np.abs(self.u - u) - (half_u - radius)
        b = np.abs(self.v - v) - (half_v - radius)
        if radius:
            distance = np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - radius
        else:
            distance = np.maximum(a, b)
        return self.cover(distance)

    def disc(self, u: float, v: float, radius_u: float, radius_v: float) -> Plane:
        """Return the coverage of an ellipse."""
        r = np.hypot((self.u - u) / radius_u, (self.v - v) / radius_v)
        return self.cover((r - 1) * min(radius_u, radius_v))

    def cover(self, distance: Real) -> Plane:
        """Return the coverage of the pixels at a signed `distance` (metres, negative inside) from an outline."""
        return np.asarray(np.clip(0.5 - distance * np.float32(self.scale), 0, 1), np.float32)


class Canvas:
    """Colour, height, surface and owner of every pixel.

    Attributes:
        colour: float32 (3, h, w), 0 to 1.
        height: metres above ground, for cast shadows.
        surface: indices of `SURFACE_CLASSES`.
        owner: number of the object that is visible, 0 for none.
        broad, fine, grain: noise of standard deviation 1 with features of metres, decimetres and single pixels.
    """

    def __init__(self, camera: Camera, broad: Plane, fine: Plane, grain: Plane) -> None:
        self.camera = camera
        self.colour = np.zeros((3, *camera.canvas), np.float32)
        self.height = np.zeros(camera.canvas, np.float32)
        self.surface = np.full(camera.canvas, GROUND, np.uint8)
        self.owner = np.zeros(camera.canvas, np.int32)
        self.broad, self.fine, self.grain = broad, fine, grain

    def frame(self, x: float, y: float, heading: float, half_u: float, half_v: float, *, clip: bool) -> Frame | None:
        """Return the frame of a shape of the world, or `None` where it lies outside. `clip` to the canvas or not."""
        column, row = self.camera.pixel(x, y)
        return self.frame_at(column, row, heading + self.camera.angle, half_u, half_v, self.camera.scale, clip=clip)

    def frame_at(
        self, column: float, row: float, angle: float, half_u: float, half_v: float, scale: float, *, clip: bool
    ) -> Frame | None:
        """Return the frame of a shape whose centre and direction are given in the canvas."""
        c, s = abs(np.cos(angle)), abs(np.sin(angle))
        reach_c, reach_r = (c * half_u + s * half_v) * scale + 1.5, (s * half_u + c * half_v) * scale + 1.5
        left, right = int(column - reach_c), int(column + reach_c) + 1
        top, bottom = int(row - reach_r), int(row + reach_r) + 1
        height, width = self.height.shape
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            return None
        if clip:
            left, right, top, bottom = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
        across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - column))[None] / np.float32(scale)
        down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - row))[:, None] / np.float32(scale)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return Frame(top, left, across * c + down * s, down * c - across * s, scale)

    def inside(self, frame: Frame) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the slices of the canvas that a frame covers, and those of the frame that lie in the canvas."""
        rows, columns = frame.u.shape
        height, width = self.height.shape
        top, left = max(frame.row, 0), max(frame.column, 0)
        bottom, right = min(frame.row + rows, height), min(frame.column + columns, width)
        return (slice(top, bottom), slice(left, right)), (
            slice(top - frame.row, bottom - frame.row),
            slice(left - frame.column, right - frame.column),
        )

    def paint(
        self,
        frame: Frame,
        colour: NDArray[np.float32] | Colour,
        alpha: Real,
        surface: int | None = None,
        owner: int | None = None,
        height: Plane | float | None = None,
    ) -> None:
        """Blend `colour` over the canvas; what is covered by half or more takes `surface`, `owner` and `height`."""
        there, here = self.inside(frame)
        alpha = alpha[here]
        below = self.colour[:, *there]
        top = colour[:, *here] if isinstance(colour, np.ndarray) else rgb(colour)
        below += (top - below) * alpha
        covered = alpha >= 0.5
        if surface is not None:
            self.surface[there][covered] = surface
        if owner is not None:
            self.owner[there][covered] = owner
        if height is not None:
            values = height[here][covered] if isinstance(height, np.ndarray) else height
            self.height[there][covered] = values
