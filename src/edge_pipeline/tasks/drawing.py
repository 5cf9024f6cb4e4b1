"""Predictions drawn over their pictures: a row a picture, a column for the truth and for every model."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from PIL import Image

from edge_pipeline.core.annotations import IGNORED_LABEL, Instances
from edge_pipeline.core.preprocessing import Picture
from edge_pipeline.tasks.base import Prediction, Truth
from edge_pipeline.tasks.palette import colour, text_colour

MIN_SCORE = 0.25
"""Predicted objects that are less sure are not drawn."""

DPI = 160
PIXELS = 800_000
"""Of all pictures in a figure together, so that it stays below 2 MB as a PNG."""

RIGHT, WRONG, OTHER = colour(0), colour(5), (0.72, 0.72, 0.72)


def predictions_figure(
    pictures: Sequence[Picture],
    columns: Sequence[tuple[str, Sequence[Prediction | Truth]]],
    task: str,
    classes: Sequence[str],
) -> Figure:
    """Draw what is true and what was predicted.

    Args:
        pictures: one a row, uint8 (h, w, channels).
        columns: title, and for every picture its truth or its prediction, in the picture's frame.
        task: its name.
        classes: their names.
    """
    rows = max(1, len(pictures))
    shapes = [picture.shape[0] / picture.shape[1] for picture in pictures] or [1.0]
    named = task == "classification"
    cell = min(1.7 if named else 3.4, (PIXELS / (len(columns) * sum(shapes))) ** 0.5 / DPI)
    heights = [cell * shape + (0.25 if named else 0.06) for shape in shapes]
    figure = Figure(figsize=(cell * len(columns) + 0.1, sum(heights) + 0.5), dpi=DPI)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01))
    grid = figure.subplots(rows, len(columns), squeeze=False, height_ratios=heights)
    for row, picture in enumerate(pictures):
        small = _shrunk(picture, round(cell * DPI))
        if task == "semantic_segmentation":
            small = small.mean(2, keepdims=True).astype(np.uint8)
        known = [items[row] for _, items in columns]
        truth = next((int(one) for one in known if named and _is_label(one)), None)
        for (title, _), item, axes in zip(columns, known, grid[row], strict=True):
            axes.axis("off")
            if row == 0:
                axes.set_title(title, fontsize=7, fontweight="bold")
            _draw(axes, small, picture.shape[:2], item, truth, classes)
    if task == "semantic_segmentation":
        _legend(figure, [item for _, items in columns for item in items], classes)
    return figure


def _draw(
    axes: Axes,
    picture: Picture,
    size: tuple[int, int],
    item: Prediction | Truth,
    truth: int | None,
    classes: Sequence[str],
) -> None:
    """Draw one picture, shown smaller than its `size` (h, w), and what is known of it."""
    if isinstance(item, np.ndarray) and item.ndim == 1 and item.shape == (len(classes),):
        axes.set_box_aspect(size[0] / size[1])
        _draw_probabilities(axes, item, truth, classes)
        return
    _show(axes, picture, size)
    if isinstance(item, Instances):
        _draw_instances(axes, item.take(item.scores >= MIN_SCORE), classes)
    elif _is_label(item):
        _caption(axes, classes[int(item)])
    elif isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.shape == size:
        _draw_labels(axes, item, picture.shape[:2], size)


def _show(axes: Axes, picture: Picture, size: tuple[int, int]) -> None:
    grey = picture.shape[2] == 1
    smooth = "bilinear" if max(size) > 64 else "nearest"
    axes.imshow(
        picture[:, :, 0] if grey else picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(0, size[1], size[0], 0),
        interpolation=smooth,
    )


def _draw_instances(axes: Axes, found: Instances, classes: Sequence[str]) -> None:
    height, width = found.size
    if found.masks:
        axes.imshow(_mask_layer(found), extent=(0, width, height, 0), interpolation="nearest")
    for index in np.argsort(found.scores, kind="stable"):
        x0, y0, x1, y1 = (float(edge) for edge in found.boxes[index])
        kind, score = int(found.classes[index]), float(found.scores[index])
        tint = colour(kind)
        outline = Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=tint, linewidth=0.9)
        outline.set_path_effects([withStroke(linewidth=1.6, foreground=(1, 1, 1, 0.6))])
        axes.add_patch(outline)
        label = f"{classes[kind]} crowd" if found.crowd[index] else classes[kind]
        axes.text(
            x1 if x0 > 0.7 * width else x0,
            y0,
            label if score == 1 else f"{label} {score:.2f}",
            fontsize=4.5,
            color=text_colour(tint),
            va="top" if y0 < 0.07 * height else "bottom",
            ha="right" if x0 > 0.7 * width else "left",
            clip_on=True,
            bbox={"facecolor": tint, "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
        )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _mask_layer(found: Instances, longest: int = 900) -> NDArray[np.float32]:
    """Return a picture (h, w, 4) with all masks in the colours of their classes, the surest on top."""
    step = max(1, max(found.size) // longest)
    layer = np.zeros((*(-(-side // step) for side in found.size), 4), np.float32)
    for index in np.argsort(found.scores, kind="stable"):
        mask = found.take([index]).dense_masks()[0, ::step, ::step]
        layer[mask] = (*colour(int(found.classes[index])), 0.5)
    return layer


def _draw_labels(axes: Axes, labels: NDArray[np.uint8], shown: tuple[int, int], size: tuple[int, int]) -> None:
    """Lay the colours of the classes over a picture; pixels that belong to none are dark."""
    small = np.asarray(Image.fromarray(labels).resize(shown[::-1], Image.Resampling.NEAREST))
    table = np.asarray([(*colour(index), 0.6) for index in range(256)], np.float32)
    table[IGNORED_LABEL] = (0, 0, 0, 0.6)
    axes.imshow(table[small], extent=(0, size[1], size[0], 0), interpolation="nearest")


def _draw_probabilities(
    axes: Axes, probabilities: NDArray[np.float32], truth: int | None, classes: Sequence[str]
) -> None:
    """Draw the three likeliest classes as bars: the true one blue, a wrong first one red."""
    best = np.argsort(-probabilities, kind="stable")[:3]
    for place, index in enumerate(best):
        tint = RIGHT if index == truth else WRONG if place == 0 and truth is not None else OTHER
        value = float(probabilities[index])
        axes.barh(place + 0.2, value, height=0.32, color=tint)
        axes.text(0, place - 0.02, classes[index], fontsize=5.5, va="bottom", clip_on=True)
        axes.text(1, place - 0.02, f"{value:.1%}", fontsize=5.5, va="bottom", ha="right")
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(2.7, -0.7)


def _legend(figure: Figure, items: Sequence[Any], classes: Sequence[str]) -> None:
    """Name the colours of the classes that occur."""
    present = sorted({int(index) for item in items for index in np.unique(item)})
    patches = [Patch(facecolor=colour(index), label=classes[index]) for index in present if index < len(classes)]
    if IGNORED_LABEL in present:
        patches.append(Patch(facecolor="0.25", label="no label"))
    columns = max(1, min(len(patches), int(figure.get_figwidth() / 0.9)))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=6, frameon=False)


def _caption(axes: Axes, text: str) -> None:
    axes.text(0.5, -0.02, text, fontsize=6, ha="center", va="top", transform=axes.transAxes)


def _shrunk(picture: Picture, longest: int) -> Picture:
    """Return a picture of at most `longest` pixels in width, so that figures stay small."""
    height, width = picture.shape[:2]
    if width <= longest:
        return picture
    planes = picture[:, :, 0] if picture.shape[2] == 1 else picture
    small = Image.fromarray(planes).resize((longest, max(1, round(height * longest / width))), Image.Resampling.BOX)
    return np.asarray(small).reshape(small.height, small.width, -1)


def _is_label(item: Any) -> TypeGuard[int]:
    return isinstance(item, int | np.integer)
