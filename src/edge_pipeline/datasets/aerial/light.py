"""Sunlight and the shadows it casts."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_pipeline.datasets.aerial.camera import Plane

_TALLEST = 20.0


@dataclass(frozen=True)
class Light:
    """The sun of a scene.

    Attributes:
        azimuth: direction towards the sun in the canvas, radians.
        elevation: height of the sun above the horizon, radians.
        strength: share of the light that comes from the sun, 0 (overcast) to 1.
    """

    azimuth: float
    elevation: float
    strength: float

    def on(self, towards: Any, up: Any) -> Any:
        """Return the light on a surface, 1 on the ground in the sun.

        `towards` is the part of its normal that points to the sun's azimuth, `up` the part that points up.
        """
        direct = towards * math.cos(self.elevation) + up * math.sin(self.elevation)
        return 1 - self.strength + self.strength * np.minimum(np.maximum(direct, 0) / math.sin(self.elevation), 1.5)


def random_light(rng: np.random.Generator) -> Light:
    """Return the sun of a scene: mostly clear, sometimes overcast."""
    strength = float(rng.uniform(0.42, 0.62)) if rng.random() < 0.78 else float(rng.uniform(0.1, 0.35))
    return Light(float(rng.uniform(0, 2 * math.pi)), float(rng.uniform(0.55, 1.15)), strength)


def shadows(height: Plane, light: Light, scale: float) -> Plane:
    """Return how much of the sun is hidden from each pixel, 0 to 1.

    The height that shades a pixel is the largest height towards the sun, less the fall of the ray over that
    distance; steps of 1, 2, 4 ... pixels find it in a few passes.
    """
    fall = math.tan(light.elevation) / scale
    reach = _TALLEST / fall
    horizon = height.copy()
    step = 1
    while step < reach:
        columns, rows = round(math.cos(light.azimuth) * step), round(math.sin(light.azimuth) * step)
        drop = np.float32(math.hypot(columns, rows) * fall)
        if abs(rows) >= height.shape[0] or abs(columns) >= height.shape[1]:
            break
        to, source = _shifted(rows, height.shape[0]), _shifted(columns, height.shape[1])
        moved = horizon[to[1], source[1]] - drop
        np.maximum(horizon[to[0], source[0]], moved, out=horizon[to[0], source[0]])
        step *= 2
    hidden: Plane = np.clip((horizon - height - np.float32(0.08)) / np.float32(0.35), 0, 1)
    return hidden


def _shifted(offset: int, size: int) -> tuple[slice, slice]:
    if offset >= 0:
        return slice(0, size - offset), slice(offset, size)
    return slice(-offset, size), slice(0, size + offset)


def shine(colour: Plane, hidden: Plane, light: Light) -> None:
    """Darken what the sun does not reach; the light of the sky alone is bluish."""
    dark = hidden * np.float32(light.strength)
    for channel, share in enumerate((1.0, 0.95, 0.86)):
        colour[channel] *= 1 - dark * np.float32(share)
