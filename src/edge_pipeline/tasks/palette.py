"""One colour a class, the same in every figure, that colour-blind people can tell apart."""

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""

# Seven hues of Okabe and Ito (Color Universal Design, 2008), then seven of Tol's muted scheme (2021).
_HUES = (
    *("0072B2", "E69F00", "009E73", "CC79A7", "56B4E9", "D55E00", "F0E442"),
    *("332288", "999933", "882255", "DDCC77", "117733", "AA4499", "44AA99"),
)


def colour(index: int) -> Colour:
    """Return the colour of the class `index`: fourteen, then the same lighter, then from the start."""
    digits, white = _HUES[index % len(_HUES)], 0.5 * (index // len(_HUES) % 2)
    red, green, blue = ((1 - white) * int(digits[at : at + 2], 16) / 255 + white for at in (0, 2, 4))
    return red, green, blue


def text_colour(background: Colour) -> str:
    """Return black or white, whichever reads better on `background`."""
    red, green, blue = background
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"
