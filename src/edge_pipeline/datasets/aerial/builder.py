"""Put things into a layout without letting them overlap: traffic, parked cars, people, trees, houses."""

import math

import numpy as np
from numpy.typing import NDArray

from edge_pipeline.datasets.aerial.camera import Camera
from edge_pipeline.datasets.aerial.layout import Building, Colour, Layout, Road, Thing, Tree, Water, Zone

_CELL = 0.5
"""Side in metres of the squares in which occupied ground is counted."""

SIZES = {"car": (4.3, 1.8), "truck": (8.0, 2.45), "bus": (11.5, 2.55), "boat": (6.0, 2.2), "person": (1.5, 1.0)}
GREENS: tuple[Colour, ...] = ((0.27, 0.38, 0.19), (0.34, 0.43, 0.21), (0.24, 0.35, 0.20), (0.41, 0.46, 0.24))
AUTUMN: tuple[Colour, ...] = ((0.50, 0.36, 0.13), (0.48, 0.25, 0.12), (0.42, 0.40, 0.15))


class Builder:
    """Fills the layout of one scene. Every `add_...` of a thing that would touch another one does nothing."""

    def __init__(self, camera: Camera, rng: np.random.Generator) -> None:
        self.camera, self.rng = camera, rng
        self.layout = Layout()
        self.reach = camera.reach + 4
        self._side = int(2 * self.reach / _CELL) + 1
        self._taken = np.zeros((self._side, self._side), np.bool_)
        self._occupied = np.zeros_like(self._taken)
        self.autumn = bool(rng.random() < 0.15)

    def number(self, low: float, high: float) -> float:
        """Return a uniform random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Return true with `probability`."""
        return bool(self.rng.random() < probability)

    def seed(self) -> int:
        """Return a seed for the looks of one thing."""
        return int(self.rng.integers(2**31))

    def claim(self, x: float, y: float, length: float, width: float, heading: float, *, force: bool = False) -> bool:
        """Occupy a rectangle of ground; false, and nothing is occupied, where some of it is taken."""
        rows, columns = self._cells(x, y, length, width, heading)
        if not force and self._taken[rows, columns].any():
            return False
        self._taken[rows, columns] = True
        return True

    def _cells(
        self, x: float, y: float, length: float, width: float, heading: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        n, m = int(length / _CELL * 1.2) + 1, int(width / _CELL * 1.2) + 1
        u = np.arange(n + 1) * (length / n / _CELL) - length / 2 / _CELL
        v = (np.arange(m + 1) * (width / m / _CELL) - width / 2 / _CELL)[:, None]
        c, s = math.cos(heading), math.sin(heading)
        columns = (u * c - v * s + (x + self.reach) / _CELL).astype(np.int64)
        rows = (u * s + v * c + (y + self.reach) / _CELL).astype(np.int64)
        limit = self._side - 1
        return np.minimum(np.maximum(rows, 0), limit), np.minimum(np.maximum(columns, 0), limit)

    def zone(
        self,
        x: float,
        y: float,
        length: float,
        width: float,
        heading: float,
        material: str,
        *,
        over: bool = False,
        radius: float = 0.0,
        rows: float = 0.0,
    ) -> None:
        """Cover a rectangle with a material, below the roads or `over` them."""
        if self.camera.sees(x, y, math.hypot(length, width) / 2):
            tint = self.number(-1, 1)
            target = self.layout.markings if over else self.layout.zones
            target.append(Zone(x, y, length, width, heading, material, radius, rows, tint))

    def road(self, road: Road) -> Road:
        """Lay a road and occupy its carriageway, so that only traffic comes onto it."""
        self.layout.roads.append(road)
        half = road.width / 2
        step = 4.0
        for s in np.arange(-self.reach * 1.1, self.reach * 1.1, step):
            x, y, heading = road.line.at(float(s), 0)
            self.claim(x, y, step * 1.3, half * 2, heading, force=True)
        return road

    def water(self, water: Water) -> Water:
        """Let in water and occupy it."""
        self.layout.waters.append(water)
        axis = (np.arange(self._side) + 0.5) * _CELL - self.reach
        self._taken |= water.distance(axis[None], axis[:, None]) < 1.0
        return water

    def thing(
        self, kind: str, x: float, y: float, heading: float, *, on_road: bool = False, moving: bool = False
    ) -> bool:
        """Place an object, and say whether it is there. `on_road`: the road or water below it is no obstacle."""
        length, width = SIZES[kind]
        if kind != "person":
            length *= self.number(0.94, 1.08)
        if kind == "truck":
            length *= float(self.rng.choice([0.8, 1.0, 1.4]))
        if kind == "boat":
            stretch = float(self.rng.choice([0.75, 1.0, 1.5], p=[0.4, 0.4, 0.2]))
            length, width = length * stretch, width * (0.7 + 0.3 * stretch)
        if not self.camera.sees(x, y, length / 2):
            return False
        cells = self._cells(x, y, length + 0.4, width + 0.4, heading)
        if self._occupied[cells].any() or (not on_road and self._taken[cells].any()):
            return False
        self._occupied[cells] = self._taken[cells] = True
        self.layout.things.append(Thing(kind, x, y, heading, length, width, self.seed(), moving))
        return True

    def traffic(self, road: Road, gap: float, bus: float = 0.1, truck: float = 0.15) -> None:
        """Let vehicles drive on a road, on the right, `gap` metres apart on average."""
        lane = road.width / max(road.lanes, 1) if road.kind != "track" else 0.0
        for number in range(road.lanes):
            t = (number + 0.5) * lane - road.width / 2 if road.lanes > 1 else 0.0
            backward = t < 0 or (road.lanes == 1 and self.chance(0.5))
            s = -self.reach + self.number(0, gap)
            while s < self.reach:
                kind = str(self.rng.choice(["bus", "truck", "car"], p=[bus, truck, 1 - bus - truck]))
                length = SIZES[kind][0] * (1.5 if kind == "truck" else 1.05)
                s += length / 2
                x, y, heading = road.line.at(s, t + self.number(-0.2, 0.2))
                crossing = any(abs(s - j) < road.width * 0.6 + length / 2 for j in road.junctions)
                if not crossing or self.chance(0.15):
                    turn = self.number(-0.03, 0.03) + (math.pi if backward else 0)
                    self.thing(kind, x, y, heading + turn, on_road=True, moving=True)
                s += length / 2 + 2.5 + float(self.rng.exponential(gap))

    def parked(self, road: Road, side: float, filled: float) -> None:
        """Park cars along the kerb of a road, on its right (`side` 1) or left (-1)."""
        s = -self.reach
        while s < self.reach:
            s += self.number(5.2, 6.2)
            t = side * (road.width / 2 - 1.15)
            if any(abs(s - j) < road.width / 2 + 8 for j in road.junctions) or not self.chance(filled):
                continue
            x, y, heading = road.line.at(s, t)
            turn = math.pi if self.chance(0.5 if side > 0 else 0.85) else 0.0
            kind = "truck" if self.chance(0.05) else "car"
            self.thing(kind, x, y, heading + turn + self.number(-0.03, 0.03), on_road=True)

    def people(self, count: int, x: float, y: float, length: float, width: float, heading: float) -> None:
        """Scatter people in a rectangle, some of them in pairs."""
        c, s = math.cos(heading), math.sin(heading)
        for _ in range(count):
            u, v = self.number(-length / 2, length / 2), self.number(-width / 2, width / 2)
            turn = self.number(0, 2 * math.pi)
            px, py = x + u * c - v * s, y + u * s + v * c
            self.thing("person", px, py, turn)
            if self.chance(0.3):
                self.thing("person", px + 1.1, py + self.number(-0.5, 0.5), turn + self.number(-0.4, 0.4))

    def pedestrians(self, road: Road, density: float) -> None:
        """Let people walk beside a road, `density` of them in 10 metres, and a few across it."""
        for _ in range(int(self.rng.poisson(density * self.reach / 5))):
            s, side = self.number(-self.reach, self.reach), 1 if self.chance(0.5) else -1
            t = side * (road.width / 2 + self.number(0.6, max(0.8, road.pavement - 0.4)))
            across = self.chance(0.06)
            x, y, heading = road.line.at(s, self.number(-1, 1) * road.width / 2 if across else t)
            turn = math.pi / 2 * side if across else (0.0 if self.chance(0.5) else math.pi)
            self.thing("person", x, y, heading + turn + self.number(-0.3, 0.3), on_road=across)

    def tree(self, x: float, y: float, radius: float, kind: str = "broad", *, over: bool = False) -> bool:
        """Plant a tree; its trunk needs free ground, its crown does not. `over`: no question asked."""
        if not self.camera.sees(x, y, radius * 1.6):
            return False
        if not over and not self.claim(x, y, 1.6, 1.6, 0):
            return False
        palette = AUTUMN if self.autumn and kind == "broad" and self.chance(0.5) else GREENS
        base = palette[int(self.rng.integers(len(palette)))]
        if kind == "conifer":
            base = (0.22, 0.33, 0.23)
        light = self.number(0.85, 1.2)
        tint = (base[0] * light * self.number(0.9, 1.15), base[1] * light, base[2] * light * self.number(0.85, 1.1))
        self.layout.trees.append(Tree(x, y, radius, kind, tint))
        return True

    def trees(self, count: int, x: float, y: float, length: float, width: float, heading: float = 0.0) -> None:
        """Scatter trees and bushes in a rectangle."""
        c, s = math.cos(heading), math.sin(heading)
        for _ in range(count):
            u, v = self.number(-length / 2, length / 2), self.number(-width / 2, width / 2)
            kind, radius = ("bush", self.number(0.6, 1.2)) if self.chance(0.3) else ("broad", self.number(1.6, 3.6))
            self.tree(x + u * c - v * s, y + u * s + v * c, radius, kind)

    def house(
        self, x: float, y: float, length: float, width: float, heading: float, height: float, roof: str, colour: Colour
    ) -> bool:
        """Build a house on free ground."""
        if not self.camera.sees(x, y, math.hypot(length, width) * 0.75 + 4):
            return False
        if not self.claim(x, y, length + 0.6, width + 0.6, heading):
            return False
        grey = self.number(0.5, 0.85)
        wall = (grey * self.number(0.95, 1.05), grey * 0.97, grey * self.number(0.8, 0.98))
        self.layout.buildings.append(Building(x, y, length, width, heading, height, roof, colour, wall, self.seed()))
        return True

    def roof_colour(self, *, flat: bool) -> Colour:
        """Return the colour of a roof: gravel, felt or metal for flat ones, tiles or slate for others."""
        flats = ((0.55, 0.54, 0.52), (0.38, 0.38, 0.39), (0.72, 0.71, 0.68), (0.45, 0.42, 0.38), (0.50, 0.36, 0.30))
        tiles = ((0.58, 0.29, 0.20), (0.48, 0.24, 0.18), (0.33, 0.32, 0.33), (0.42, 0.34, 0.28), (0.62, 0.38, 0.26))
        chosen = (flats if flat else tiles)[int(self.rng.integers(5))]
        light = self.number(0.88, 1.1)
        return chosen[0] * light, chosen[1] * light, chosen[2] * light
