"""From a scene to a photograph: haze, lens, motion, exposure, colour balance, noise."""

import math

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.datasets.aerial.camera import Plane
from edge_pipeline.datasets.aerial.canvas import rgb


def photograph(colour: Plane, altitude: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture a camera takes of `colour` (3, h, w), 0 to 1."""
    from scipy import ndimage

    height, width = colour.shape[1:]
    haze = np.float32(rng.uniform(0, 0.05) + 0.0006 * altitude)
    image = colour * (1 - haze) + haze * rgb((0.72, 0.76, 0.80))
    sigma = float(rng.uniform(0.35, 0.65)) if rng.random() < 0.75 else float(rng.uniform(0.7, 1.1))
    image = ndimage.gaussian_filter(image, (0, sigma, sigma), truncate=2.5)
    if rng.random() < 0.3:
        image = _moved(image, float(rng.uniform(1.5, 4.0)), float(rng.uniform(0, math.pi)))
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    image *= 1 - np.float32(rng.uniform(0.02, 0.10)) * (rows**2 + columns**2)
    metered = (0.46 / max(float(image.mean()), 0.05)) ** 0.7
    exposure, warmth, green = metered * rng.normal(1.0, 0.12), rng.normal(0, 0.05), rng.normal(0, 0.02)
    image *= rgb((1 + warmth, 1 + green, 1 - warmth)) * np.float32(min(max(exposure, 0.6), 2.0))
    np.clip(image, 0, 1.3, out=image)
    contrast = np.float32(rng.uniform(0.85, 1.12))
    image = np.float32(0.45) + (image - np.float32(0.45)) * contrast
    noise = rng.standard_normal(image.shape, np.float32)
    read, shot = np.float32(rng.uniform(0.003, 0.012)), np.float32(rng.uniform(0.005, 0.02))
    image += noise * (read + shot * np.sqrt(np.clip(image, 0, 1)))
    image *= 255
    image += np.float32(0.5)
    return np.ascontiguousarray(np.clip(image, 0, 255, out=image).astype(np.uint8).transpose(1, 2, 0))


def _moved(image: Plane, length: float, angle: float) -> Plane:
    """Blur along a line of `length` pixels, as a moving camera does."""
    steps = int(length) + 2
    total = np.zeros_like(image)
    for i in range(steps):
        d = (i / (steps - 1) - 0.5) * length
        total += np.roll(image, (round(d * math.sin(angle)), round(d * math.cos(angle))), (1, 2))
    return total / np.float32(steps)
