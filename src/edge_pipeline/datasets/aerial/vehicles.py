"""Paint cars, trucks, buses, boats and people as they look from above."""

from collections.abc import Callable

import numpy as np

from edge_pipeline.datasets.aerial.camera import Plane, Real
from edge_pipeline.datasets.aerial.canvas import Canvas, Frame, rgb
from edge_pipeline.datasets.aerial.layout import Colour, Thing
from edge_pipeline.datasets.aerial.settings import PERSON, VEHICLE

GLASS: Colour = (0.10, 0.13, 0.17)
_PAINTS: tuple[Colour, ...] = (
    (0.90, 0.90, 0.90),
    (0.90, 0.90, 0.90),
    (0.72, 0.73, 0.75),
    (0.72, 0.73, 0.75),
    (0.42, 0.43, 0.45),
    (0.12, 0.12, 0.13),
    (0.12, 0.12, 0.13),
    (0.16, 0.25, 0.48),
    (0.62, 0.12, 0.11),
    (0.75, 0.16, 0.12),
    (0.20, 0.36, 0.30),
    (0.80, 0.62, 0.15),
    (0.55, 0.48, 0.40),
    (0.24, 0.42, 0.62),
)
_CARGO: tuple[Colour, ...] = (
    (0.88, 0.88, 0.87),
    (0.82, 0.82, 0.80),
    (0.60, 0.62, 0.64),
    (0.25, 0.38, 0.60),
    (0.60, 0.30, 0.20),
    (0.35, 0.45, 0.32),
)
_BUSES: tuple[Colour, ...] = (
    (0.92, 0.92, 0.90),
    (0.86, 0.68, 0.16),
    (0.72, 0.16, 0.14),
    (0.28, 0.52, 0.36),
    (0.30, 0.45, 0.70),
)
_CLOTHES: tuple[Colour, ...] = (
    (0.85, 0.85, 0.83),
    (0.15, 0.16, 0.20),
    (0.70, 0.18, 0.16),
    (0.20, 0.32, 0.60),
    (0.85, 0.70, 0.20),
    (0.30, 0.45, 0.30),
    (0.55, 0.40, 0.55),
    (0.80, 0.45, 0.30),
)


class Sprite:
    """A thing being painted in its own frame: colour, outline and height."""

    def __init__(self, frame: Frame, outline: Plane, base: Colour, sun: tuple[float, float]) -> None:
        self.frame, self.alpha = frame, outline
        self.colour = np.empty((3, *frame.u.shape), np.float32)
        self.colour[:] = rgb(base)
        self.height = np.zeros(frame.u.shape, np.float32)
        self.sun = sun

    def over(self, colour: Colour, cover: Real, opacity: float = 1.0) -> None:
        """Blend a colour over a part."""
        self.colour += (rgb(colour) - self.colour) * (cover * np.float32(opacity))

    def shade(self, cover: Plane, amount: float) -> None:
        """Make a part lighter (`amount` > 0) or darker."""
        self.colour *= 1 + np.float32(amount) * cover

    def raised(self, cover: Plane, height: float) -> None:
        """Lift a part to a height in metres."""
        np.maximum(self.height, (cover >= 0.5) * np.float32(height), out=self.height)

    def bevel(self, half_u: float, half_v: float, width: float, amount: float) -> None:
        """Light the edges that face the sun, darken those that do not."""
        u, v = self.frame.u, self.frame.v
        edge_u = np.clip((np.abs(u) - half_u + width) / width, 0, 1) * np.sign(u)
        edge_v = np.clip((np.abs(v) - half_v + width) / width, 0, 1) * np.sign(v)
        self.colour *= 1 + np.float32(amount) * (edge_u * self.sun[0] + edge_v * self.sun[1])


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    chosen = colours[int(rng.integers(len(colours)))]
    jitter = rng.uniform(0.88, 1.08)
    return chosen[0] * jitter, chosen[1] * jitter, chosen[2] * jitter


def _car(frame: Frame, thing: Thing, rng: np.random.Generator, sun: tuple[float, float]) -> Sprite:
    a, b = thing.length / 2, thing.width / 2
    paint = _pick(rng, _PAINTS)
    kind = str(rng.choice(["sedan", "hatch", "van", "pickup"], p=[0.42, 0.38, 0.12, 0.08]))
    body = frame.box(0, 0, a, b, 0.42 if kind != "van" else 0.28)
    sprite = Sprite(frame, body, paint, sun)
    front, rear = {"sedan": (0.42, -0.62), "hatch": (0.45, -0.93), "van": (0.72, -0.95), "pickup": (0.42, -0.15)}[kind]
    front, rear = front * a, rear * a
    screen = 0.62 if kind != "van" else 0.4
    middle, half = (front + rear) / 2, (front - rear) / 2
    sprite.over(GLASS, frame.box(middle, 0, half, b * 0.86, 0.2), 0.95)
    roof_front, roof_rear = front - screen, rear + (0.45 if kind in ("sedan", "pickup") else 0.25)
    roof = frame.box((roof_front + roof_rear) / 2, 0, (roof_front - roof_rear) / 2, b * 0.70, 0.18)
    sprite.over(tuple(min(1.0, c * 1.06 + 0.02) for c in paint), roof)  # type: ignore[arg-type]
    if rng.random() < 0.2 and kind != "van":
        sprite.over(GLASS, frame.box(roof_front - 0.55, 0, 0.3, b * 0.45, 0.08), 0.9)
    if kind == "pickup":
        bed = frame.box((rear - a) / 2, 0, (rear + a) / 2 - 0.12, b * 0.82, 0.08)
        sprite.over((0.16, 0.16, 0.17), bed, 0.9)
    glint = frame.box(front - 0.1, -sun[1] * b * 0.3, 0.12, b * 0.5, 0.1)
    sprite.over((0.75, 0.82, 0.88), glint, 0.35)
    for side in (-1, 1):
        sprite.over((0.95, 0.95, 0.90), frame.box(a - 0.12, side * b * 0.68, 0.12, 0.2), 0.8)
        sprite.over((0.60, 0.05, 0.05), frame.box(-a + 0.08, side * b * 0.68, 0.1, 0.22), 0.85)
    sprite.bevel(a, b, 0.35, 0.22)
    sprite.raised(body, 0.9)
    sprite.raised(roof, 2.0 if kind == "van" else 1.5)
    return sprite


def _truck(frame: Frame, thing: Thing, rng: np.random.Generator, sun: tuple[float, float]) -> Sprite:
    a, b = thing.length / 2, thing.width / 2
    cab_length = 1.7 if thing.length < 8 else 2.2
    cab = frame.box(a - cab_length / 2, 0, cab_length / 2, b * 0.96, 0.25)
    load_half = (2 * a - cab_length - 0.5) / 2
    load_middle = -a + load_half
    load = frame.box(load_middle, 0, load_half, b, 0.05)
    joint = frame.box(a - cab_length - 0.25, 0, 0.35, b * 0.45)
    outline = np.maximum(np.maximum(cab, load), joint)
    sprite = Sprite(frame, outline, (0.13, 0.13, 0.13), sun)
    paint = _pick(rng, _PAINTS[2:])
    sprite.over(paint, cab)
    sprite.over(GLASS, frame.box(a - 0.35, 0, 0.25, b * 0.82, 0.1), 0.95)
    sprite.over((0.2, 0.2, 0.2), frame.box(a - cab_length + 0.3, 0, 0.2, b * 0.6), 0.4)
    cargo = _pick(rng, _CARGO)
    sprite.over(cargo, load)
    kind = str(rng.choice(["box", "tank", "open"], p=[0.6, 0.18, 0.22]))
    if kind == "box":
        ribs = (np.abs(frame.u % 1.0 - 0.5) < 0.08).astype(np.float32)
        sprite.shade(load * ribs, -0.1)
    elif kind == "tank":
        sprite.colour *= 1 - 0.45 * load * np.clip(np.abs(frame.v) / b, 0, 1) ** 2
        for u in (-0.5, 0.0, 0.5):
            sprite.over((0.25, 0.25, 0.25), frame.disc(load_middle + u * load_half, 0, 0.28, 0.28), 0.8)
    else:
        sprite.over((0.20, 0.18, 0.16), frame.box(load_middle, 0, load_half - 0.15, b - 0.15), 0.95)
        fill = _pick(rng, ((0.55, 0.45, 0.33), (0.45, 0.45, 0.45), (0.52, 0.38, 0.22)))
        sprite.over(fill, frame.disc(load_middle, 0, load_half * 0.88, b * 0.75), 0.95)
        sprite.shade(frame.disc(load_middle + 0.4, 0.1, load_half * 0.4, b * 0.3), 0.18)
    sprite.bevel(a, b, 0.2, 0.15)
    sprite.raised(outline, 1.0)
    sprite.raised(cab, 2.6)
    sprite.raised(load, 3.3 if kind != "open" else 1.8)
    return sprite


def _bus(frame: Frame, thing: Thing, rng: np.random.Generator, sun: tuple[float, float]) -> Sprite:
    a, b = thing.length / 2, thing.width / 2
    body = frame.box(0, 0, a, b, 0.3)
    paint = _pick(rng, _BUSES)
    sprite = Sprite(frame, body, paint, sun)
    sprite.over(GLASS, frame.box(a - 0.2, 0, 0.28, b * 0.88, 0.1), 0.95)
    sprite.over(GLASS, frame.box(-a + 0.1, 0, 0.12, b * 0.7), 0.7)
    sides = np.clip((np.abs(frame.v) - b + 0.16) * 20, 0, 1)
    sprite.over(GLASS, sides * (frame.u % 1.4 > 0.18), 0.75)
    if rng.random() < 0.5:
        sprite.over((0.93, 0.93, 0.92), frame.box(-0.3, 0, a - 1.0, b * 0.8, 0.2), 0.85)
    for u in (-0.62, 0.38):
        box = frame.box(u * a, 0, 0.95, b * 0.55, 0.1)
        sprite.over((0.62, 0.63, 0.64), box, 0.9)
        sprite.over((0.30, 0.30, 0.31), frame.box(u * a, 0, 0.6, b * 0.3), 0.7)
    for u in (-0.15, 0.68):
        sprite.over((0.35, 0.36, 0.38), frame.box(u * a, 0, 0.35, 0.32, 0.05), 0.9)
    sprite.bevel(a, b, 0.25, 0.15)
    sprite.raised(body, 3.1)
    return sprite


def _boat(frame: Frame, thing: Thing, rng: np.random.Generator, sun: tuple[float, float]) -> Sprite:
    a, b = thing.length / 2, thing.width / 2

    def hull(shrink: float) -> Plane:
        forward = np.clip((frame.u + 0.15 * a) / (1.15 * a), 0, 1)
        half = (b - shrink) * np.sqrt(np.clip(1 - forward**2.2, 0, 1)) * np.clip(1 + 0.12 * frame.u / a, 0.8, 1)
        distance = np.maximum(np.abs(frame.v) - half, np.maximum(-frame.u - a + shrink, frame.u - a + shrink))
        return frame.cover(distance)

    outline = hull(0.0)
    white = rng.random() < 0.75
    sprite = Sprite(frame, outline, (0.93, 0.93, 0.92) if white else _pick(rng, _PAINTS[7:]), sun)
    deck = _pick(rng, ((0.62, 0.48, 0.33), (0.80, 0.78, 0.72), (0.52, 0.55, 0.60), (0.70, 0.62, 0.50)))
    sprite.over(deck, hull(0.28))
    if thing.length > 5:
        sprite.over((0.90, 0.90, 0.89), frame.box(0.05 * a, 0, 0.34 * a, b * 0.58, 0.25))
        sprite.over(GLASS, frame.box(0.36 * a, 0, 0.09 * a, b * 0.5, 0.1), 0.9)
        sprite.shade(frame.box(-0.1 * a, 0, 0.12 * a, b * 0.45, 0.1), -0.15)
        sprite.over((0.25, 0.30, 0.38), frame.box(-0.72 * a, 0, 0.1 * a, b * 0.6, 0.1), 0.8)
        sprite.raised(frame.box(0.05 * a, 0, 0.34 * a, b * 0.58), 1.9)
    else:
        for u in (-0.45, 0.1):
            sprite.over((0.40, 0.30, 0.20), frame.box(u * a, 0, 0.14, b * 0.75), 0.9)
        sprite.over((0.12, 0.12, 0.13), frame.box(-0.92 * a, 0, 0.2, 0.2, 0.05), 0.9)
    sprite.bevel(a, b, 0.3, 0.12)
    sprite.raised(outline, 0.7)
    return sprite


def _person(frame: Frame, thing: Thing, rng: np.random.Generator, sun: tuple[float, float]) -> Sprite:
    a, b = thing.length / 2, thing.width / 2
    legs = np.maximum(
        frame.disc(0.26 * a, 0.3 * b, 0.72 * a, 0.34 * b), frame.disc(-0.3 * a, -0.3 * b, 0.7 * a, 0.34 * b)
    )
    shoulders = frame.disc(0, 0, 0.46 * a, b)
    outline = np.maximum(legs, shoulders)
    sprite = Sprite(frame, outline, _pick(rng, ((0.14, 0.15, 0.20), (0.30, 0.27, 0.24), (0.20, 0.26, 0.40))), sun)
    sprite.over(_pick(rng, _CLOTHES), shoulders)
    hair = _pick(rng, ((0.14, 0.10, 0.08), (0.35, 0.23, 0.12), (0.62, 0.50, 0.32), (0.75, 0.20, 0.16)))
    sprite.over(hair, frame.disc(0.08, 0, 0.17, 0.16))
    sprite.bevel(a * 0.5, b, 0.3, 0.15)
    sprite.raised(np.maximum(frame.disc(0, 0, 0.3, b * 0.8), frame.disc(0, 0, 0.2, 0.2)), 1.65)
    return sprite


_PAINTERS: dict[str, Callable[[Frame, Thing, np.random.Generator, tuple[float, float]], Sprite]] = {
    "car": _car,
    "truck": _truck,
    "bus": _bus,
    "boat": _boat,
    "person": _person,
}


def paint_thing(canvas: Canvas, thing: Thing, owner: int, sun: float) -> int:
    """Paint one object and return how many pixels it covers, those outside of the canvas included.

    Args:
        canvas: where to.
        thing: what.
        owner: its number in the canvas.
        sun: direction towards the sun in the canvas, radians.
    """
    frame = canvas.frame(thing.x, thing.y, thing.heading, thing.length / 2, thing.width / 2, clip=False)
    if frame is None:
        return 0
    if thing.kind == "boat":
        _wake(canvas, thing)
    turn = sun - thing.heading - canvas.camera.angle
    rng = np.random.Generator(np.random.PCG64(thing.seed))
    sprite = _PAINTERS[thing.kind](frame, thing, rng, (float(np.cos(turn)), float(np.sin(turn))))
    there, here = canvas.inside(frame)
    sprite.colour[:, *here] *= 1 + 0.02 * canvas.grain[there]
    surface = PERSON if thing.kind == "person" else VEHICLE
    canvas.paint(frame, sprite.colour, sprite.alpha, surface, owner, sprite.height)
    return int((sprite.alpha >= 0.5).sum())


def _wake(canvas: Canvas, thing: Thing) -> None:
    length = thing.length * (2.6 if thing.moving else 0.62)
    frame = canvas.frame(
        thing.x, thing.y, thing.heading, length, thing.width * (1.6 if thing.moving else 0.75), clip=True
    )
    if frame is None:
        return
    there, _ = canvas.inside(frame)
    fine = canvas.fine[there]
    if thing.moving:
        back = -(frame.u - thing.length * 0.35)
        spread = 0.25 * thing.width + np.maximum(back, 0) * 0.16
        ridge = np.exp(-(((np.abs(frame.v) - spread) / 0.45) ** 2)) + 0.5 * np.exp(-((frame.v / 0.6) ** 2))
        foam = (
            np.clip(ridge * (0.75 + 0.35 * fine), 0, 1)
            * (back > 0)
            * np.exp(-np.maximum(back, 0) / (thing.length * 0.9))
        )
    else:
        foam = (
            0.25
            * frame.box(0, 0, thing.length / 2 + 0.35, thing.width / 2 + 0.3, 0.9)
            * np.clip(0.7 + 0.4 * fine, 0, 1)
        )
    canvas.paint(frame, (0.93, 0.95, 0.95), foam.astype(np.float32) * np.float32(0.85))
