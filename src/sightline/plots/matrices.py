"""Figures of confusion matrices."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sightline.measures.metrics import per_class_accuracy
from sightline.measures.numbers import signed
from sightline.plots import style
from sightline.plots.sheet import EDGE, Sheet, new_sheet, write

__all__ = ["confusion", "confusion_difference"]

CELL = 0.04  # inches; lines around smaller ones would be all there is to see
LEFT, RIGHT, TOP = 1.0, 0.75, 0.85  # inches around the cells, for words
FAINT = {"ha": "right", "alpha": 0.7}


def confusion(
    matrix: Tensor,
    classes: Sequence[str],
    *,
    links: Mapping[tuple[int, int], str] | None = None,
) -> Figure:
    """Show who was taken for whom; the colour is for the mistakes alone.

    With too many classes to write the counts, the colour is all there is. The matrix
    is (K, K) counts, rows actual, as `confusion_matrix` makes them. In an SVG, cells
    lead to their `links`, by row and column.
    """
    counts = np.asarray(matrix)
    shares = per_class_accuracy(torch.as_tensor(matrix)).tolist()
    words = ["no image" if np.isnan(share) else f"{share:.1%}" for share in shares]
    column = ("accuracy", words)
    sheet = _matrix(counts, "{:,}".format, classes, column=column)
    side = _side(classes)
    for (row, place), address in (links or {}).items():
        corner = (LEFT + place * side, TOP + row * side)
        sheet.axes.add_patch(Rectangle(corner, side, side, alpha=0, url=address))
    return sheet.figure


def confusion_difference(
    matrix: Tensor,
    classes: Sequence[str],
    *,
    names: tuple[str, str] = ("the one", "the other"),
) -> Figure:
    """Show which mistakes one run makes more often than another, and which less.

    The matrix is (K, K), rows actual: the confusion counts of the first of the `names`
    minus those of the second, on the same images.
    """
    counts = np.asarray(matrix)
    foot = 3 * style.LINE + 0.15
    figure, axes, bottom = _matrix(counts, lambda n: signed(n, 0), classes, foot=foot)
    one, other = map(style.cut_middle, names)
    keys = {
        style.VERMILION: f"mistakes that {one} makes more often than {other}",
        style.BLUE: "mistakes that it makes less often",
    }
    for i, (colour, words) in enumerate(keys.items()):
        middle = bottom + 0.2 + i * style.LINE
        key = Rectangle((EDGE, middle - 0.06), 0.12, 0.12, fc=colour, ec="none")
        key.set_alpha(0.75)
        axes.add_patch(key)
        write(axes, words, EDGE + 0.18, middle, above=0.5)
    more = int(np.trace(counts))
    change = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "as many"
    words = f"diagonal: right answers, {change} in all"
    write(axes, words, EDGE, bottom + 0.2 + 2 * style.LINE, above=0.5)
    return figure


def _matrix(
    counts: np.ndarray,
    written: Callable[[int], str],
    classes: Sequence[str],
    *,
    column: tuple[str, Sequence[str]] | None = None,
    foot: float = 0,
) -> Sheet:
    """Draw a confusion matrix, and at its right a column: a title and K words.

    Beside the diagonal, counts above 0 are shaded vermilion, those below 0 blue; they
    are written where they fit. The foot is room left below, in inches.
    """
    side = _side(classes)
    bottom, edge = TOP + side * len(classes), LEFT + side * len(classes) + RIGHT
    figure, axes = new_sheet(max(edge, 5 if foot else 0), bottom + foot)
    _shade(axes, counts, side)
    write(axes, "predicted →\nactual ↓", LEFT - 0.1, TOP, above=1, **FAINT)
    title, words = column or ("", [""] * len(classes))
    write(axes, title, edge, TOP, above=1, **FAINT)
    slanted = {"rotation": 45, "rotation_mode": "anchor"}
    # the names of some rows only, where those of all would lie on each other
    for i in range(0, len(classes), math.ceil(style.LINE / side)):
        name, middle = style.cut_words(classes[i], LEFT), (i + 0.5) * side
        write(axes, name, LEFT - 0.1, TOP + middle, above=0.5, ha="right")
        write(axes, name, LEFT + middle, TOP - 0.2, above=0, **slanted)
        write(axes, words[i], edge, TOP + middle, above=0.5, ha="right")
    if side >= 0.3:
        _fill(axes, counts, written, side)
    return Sheet(figure, axes, bottom)


def _side(classes: Sequence[str]) -> float:
    """Return the width of a cell, inches."""
    return min((style.WIDTH - LEFT - RIGHT) / len(classes), 0.7)


def _shade(axes: Axes, counts: np.ndarray, side: float) -> None:
    """Colour the mistakes, and draw the lines between the cells."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    shade = np.zeros((*counts.shape, 4))
    shade[..., :3] = np.where(
        (wrong > 0)[..., None], to_rgb(style.VERMILION), to_rgb(style.BLUE)
    )
    shade[..., 3] = 0.75 * np.abs(wrong) / max(np.abs(wrong).max(), 1)
    right, bottom = LEFT + side * len(counts), TOP + side * len(counts)
    extent = (LEFT, right, bottom, TOP)
    axes.imshow(shade, extent=extent, interpolation="none", aspect="auto")
    if side < CELL:
        return
    for i in range(len(counts) + 1):
        axes.plot((LEFT, right), (TOP + i * side,) * 2, **style.HAIR)
        axes.plot((LEFT + i * side,) * 2, (TOP, bottom), **style.HAIR)


def _fill(
    axes: Axes, counts: np.ndarray, written: Callable[[int], str], side: float
) -> None:
    """Write into the cells, right answers in bold."""
    for (i, j), count in np.ndenumerate(counts):
        weight, alpha = "bold" if i == j else "normal", 1 if count else 0.35
        x, y = LEFT + (j + 0.5) * side, TOP + (i + 0.5) * side
        write(
            axes,
            written(int(count)),
            x,
            y,
            above=0.5,
            ha="center",
            weight=weight,
            alpha=alpha,
        )
