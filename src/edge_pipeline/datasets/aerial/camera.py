"""Where a point of the ground appears in the picture. Metres in the world, x right and y down; pixels in the canvas."""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.datasets.aerial.settings import FOCAL_PIXELS

Plane = NDArray[np.float32]
Real = NDArray[np.floating[Any]]

_LEAN = 0.55
"""Share of the perspective of high things that is shown; 1 makes roofs hide half of a wide picture."""

_MARGIN_METRES = 4.0


@dataclass(frozen=True)
class Camera:
    """A camera that looks straight down at the world's origin.

    Attributes:
        size: height and width of the picture.
        altitude: metres above ground.
        angle: rotation of the picture against the world, radians.
    """

    size: tuple[int, int]
    altitude: float
    angle: float

    @functools.cached_property
    def scale(self) -> float:
        """Pixels per metre on the ground."""
        return FOCAL_PIXELS / self.altitude

    @functools.cached_property
    def margin(self) -> int:
        """Pixels by which the canvas is larger than the picture on each side, for shadows from outside."""
        return round(_MARGIN_METRES * self.scale)

    @functools.cached_property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the canvas."""
        return self.size[0] + 2 * self.margin, self.size[1] + 2 * self.margin

    @functools.cached_property
    def reach(self) -> float:
        """Distance of the canvas's corner from its centre, metres."""
        return math.hypot(*self.canvas) / 2 / self.scale

    @functools.cached_property
    def _turn(self) -> tuple[float, float]:
        return math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Return (column, row) of a ground point in the canvas, continuous."""
        height, width = self.canvas
        c, s = self._turn
        return width / 2 + x * c - y * s, height / 2 + x * s + y * c

    def lean(self, column: float, row: float, height: float) -> tuple[float, float, float]:
        """Move a pixel to where a point `height` metres above it appears; also return the magnification there."""
        rows, columns = self.canvas
        k = 1 / (1 - min(0.8, _LEAN * height / self.altitude))
        return columns / 2 + (column - columns / 2) * k, rows / 2 + (row - rows / 2) * k, k

    def sees(self, x: float, y: float, radius: float) -> bool:
        """Whether a disc in the world may touch the canvas."""
        column, row = self.pixel(x, y)
        rows, columns = self.canvas
        r = radius * self.scale
        return -r < column < columns + r and -r < row < rows + r

    def ground(self) -> tuple[Plane, Plane]:
        """Return the world's x and y of every pixel of the canvas."""
        height, width = self.canvas
        c, s = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        columns = (np.arange(width, dtype=np.float32) + np.float32(0.5 - width / 2))[None]
        rows = (np.arange(height, dtype=np.float32) + np.float32(0.5 - height / 2))[:, None]
        return columns * np.float32(c) + rows * np.float32(s), rows * np.float32(c) - columns * np.float32(s)
