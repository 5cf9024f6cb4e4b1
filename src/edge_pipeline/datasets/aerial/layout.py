"""The things of a scene, before anything is drawn. Metres and radians in the world."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Curve:
    """A straight or winding line: `s` metres along it, `t` metres to its right.

    The line leaves (0, `offset`) of a frame turned by `angle` and swings by `bend` metres over `wave` metres.
    """

    angle: float = 0.0
    offset: float = 0.0
    bend: float = 0.0
    wave: float = 30.0
    phase: float = 0.0

    def along(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return (s, t) of world points, numbers or arrays."""
        c, sn = math.cos(self.angle), math.sin(self.angle)
        s = x * c + y * sn
        t = y * c - x * sn - self.offset
        if not self.bend:
            return s, t
        turn = s / self.wave + self.phase
        slope = self.bend / self.wave * np.cos(turn)
        return s, (t - self.bend * np.sin(turn)) / np.sqrt(1 + slope * slope)

    def at(self, s: float, t: float) -> tuple[float, float, float]:
        """Return x, y and the direction of the line at (s, t)."""
        turn = s / self.wave + self.phase
        slope = math.atan(self.bend / self.wave * math.cos(turn))
        u, v = s - t * math.sin(slope), self.offset + self.bend * math.sin(turn) + t * math.cos(slope)
        c, sn = math.cos(self.angle), math.sin(self.angle)
        return u * c - v * sn, u * sn + v * c, self.angle + slope


@dataclass(frozen=True)
class Road:
    """`kind` is "street" (kerb, pavement), "country" (asphalt, verge), "track" (two ruts) or "path"."""

    line: Curve
    width: float
    kind: str
    lanes: int = 2
    pavement: float = 0.0
    junctions: tuple[float, ...] = ()


@dataclass(frozen=True)
class Water:
    """`kind` is "river" (`extent` wide), "coast" (right of the line) or "lake" (radius `extent` around x, y)."""

    kind: str
    line: Curve = field(default_factory=Curve)
    extent: float = 0.0
    x: float = 0.0
    y: float = 0.0
    beach: float = 1.0
    colour: str = "river"

    def distance(self, x: Any, y: Any) -> Any:
        """Return metres to the shore, negative in the water."""
        if self.kind == "lake":
            return np.hypot(x - self.x, y - self.y) - self.extent
        _, t = self.line.along(x, y)
        return -t if self.kind == "coast" else np.abs(t) - self.extent / 2


@dataclass(frozen=True)
class Zone:
    """A rectangle of one material. `rows` metres between rows of crop, 0 for none."""

    x: float
    y: float
    length: float
    width: float
    heading: float
    material: str
    radius: float = 0.0
    rows: float = 0.0
    tint: float = 0.0


@dataclass(frozen=True)
class Building:
    """A block with a "flat", "gabled" or "hipped" roof (ridge along `heading`)."""

    x: float
    y: float
    length: float
    width: float
    heading: float
    height: float
    roof: str
    colour: Colour
    wall: Colour
    seed: int


@dataclass(frozen=True)
class Tree:
    """`kind` is "broad", "conifer" or "bush"."""

    x: float
    y: float
    radius: float
    kind: str
    tint: Colour


@dataclass(frozen=True)
class Thing:
    """An object that is labelled: `kind` of `OBJECT_CLASSES`, centre, direction, and a seed for its looks."""

    kind: str
    x: float
    y: float
    heading: float
    length: float
    width: float
    seed: int
    moving: bool = False


@dataclass
class Layout:
    """All of a scene, in the order in which it is painted."""

    ground: str = "meadow"
    zones: list[Zone] = field(default_factory=list)
    waters: list[Water] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)
    markings: list[Zone] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
