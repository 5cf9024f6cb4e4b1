"""What covers the ground: noise and the colours it is turned into."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from edge_pipeline.datasets.aerial.camera import Plane
from edge_pipeline.datasets.aerial.layout import Colour
from edge_pipeline.datasets.aerial.settings import GROUND, ROAD, WATER


@dataclass(frozen=True)
class Material:
    """Two colours that `broad` noise mixes, darkened and lightened by `fine` noise and `grain`."""

    low: Colour
    high: Colour
    fine: float
    grain: float
    surface: int = GROUND

    def colours(self, broad: Plane, fine: Plane, grain: Plane, rows: Plane | None = None, tint: float = 0.0) -> Plane:
        """Return float32 (3, ...), ...: the shape of the noise. `rows` (-1 to 1) are light and dark rows of a crop."""
        mix = np.clip(0.5 + 0.35 * broad + 0.15 * fine, 0, 1)
        shape = (3,) + (1,) * mix.ndim
        low, high = np.asarray(self.low, np.float32).reshape(shape), np.asarray(self.high, np.float32).reshape(shape)
        light = 1 + self.fine * fine + self.grain * grain + np.float32(0.05 * tint)
        if rows is not None:
            light += 0.13 * rows
        coloured: Plane = (low + (high - low) * mix) * light
        return coloured


MATERIALS = {
    "lawn": Material((0.33, 0.43, 0.22), (0.46, 0.53, 0.30), 0.05, 0.05),
    "meadow": Material((0.36, 0.42, 0.23), (0.55, 0.53, 0.33), 0.09, 0.07),
    "wheat": Material((0.66, 0.56, 0.32), (0.76, 0.67, 0.41), 0.05, 0.06),
    "stubble": Material((0.60, 0.53, 0.38), (0.70, 0.64, 0.48), 0.07, 0.07),
    "rape": Material((0.60, 0.58, 0.22), (0.72, 0.69, 0.30), 0.06, 0.07),
    "green_crop": Material((0.27, 0.40, 0.19), (0.38, 0.49, 0.25), 0.07, 0.06),
    "soil": Material((0.36, 0.27, 0.19), (0.48, 0.37, 0.27), 0.08, 0.06),
    "forest_floor": Material((0.24, 0.27, 0.16), (0.38, 0.35, 0.23), 0.14, 0.08),
    "sand": Material((0.76, 0.68, 0.52), (0.87, 0.80, 0.65), 0.04, 0.03),
    "gravel": Material((0.56, 0.52, 0.46), (0.66, 0.62, 0.56), 0.06, 0.08),
    "dirt": Material((0.50, 0.41, 0.30), (0.60, 0.51, 0.39), 0.08, 0.05),
    "paved": Material((0.54, 0.53, 0.51), (0.63, 0.61, 0.58), 0.03, 0.03),
    "concrete": Material((0.62, 0.61, 0.58), (0.70, 0.69, 0.66), 0.03, 0.02),
    "asphalt": Material((0.33, 0.33, 0.34), (0.42, 0.42, 0.42), 0.04, 0.05, ROAD),
    "paint": Material((0.82, 0.82, 0.80), (0.90, 0.90, 0.88), 0.06, 0.02, ROAD),
    "pool": Material((0.30, 0.65, 0.76), (0.44, 0.76, 0.84), 0.06, 0.02, WATER),
    "planks": Material((0.45, 0.37, 0.28), (0.55, 0.46, 0.36), 0.05, 0.05),
    "towel_a": Material((0.80, 0.30, 0.25), (0.85, 0.40, 0.30), 0.03, 0.02),
    "towel_b": Material((0.25, 0.45, 0.75), (0.30, 0.50, 0.80), 0.03, 0.02),
}


def octaves(rng: np.random.Generator, shape: tuple[int, int], cell: float, count: int, gain: float = 0.55) -> Plane:
    """Return noise of standard deviation about 1 whose coarsest features are `cell` pixels wide."""
    total = np.zeros(shape, np.float32)
    power = 0.0
    for octave in range(count):
        size = cell / 2**octave
        if size < 1.5:
            break
        grid = rng.standard_normal((int(shape[0] / size) + 4, int(shape[1] / size) + 4), np.float32)
        left, top = rng.uniform(0, 1, 2)
        box = (1 + left, 1 + top, 1 + left + shape[1] / size, 1 + top + shape[0] / size)
        image = Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC, box=box)
        total += np.float32(gain**octave) * np.asarray(image, np.float32)
        power += 0.55 * gain ** (2 * octave)
    return total / np.float32(max(power, 1e-6) ** 0.5)
