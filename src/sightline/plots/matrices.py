"""Figures of confusion matrices."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sightline.measures.metrics import per_class_accuracy
from sightline.measures.numbers import signed
from sightline.plots.sheet import EDGE, new_sheet, write
from sightline.plots.style import (
    BLUE,
    HAIR,
    LINE,
    VERMILION,
    WIDTH,
    cut_middle,
    cut_words,
)

__all__ = ["confusion", "confusion_difference"]


def confusion(matrix: Tensor, classes: Sequence[str]) -> Figure:
    """Show who was taken for whom; the colour is for the mistakes alone.

    With too many classes to write the counts, the colour is all there is.

    Args:
        matrix: (K, K) counts, rows actual, as `confusion_matrix` makes them.
        classes: K names.
    """
    counts = np.asarray(matrix)
    shares = per_class_accuracy(torch.as_tensor(matrix)).tolist()
    words = ["no image" if np.isnan(share) else f"{share:.1%}" for share in shares]
    cells = [[f"{count:,}" for count in row] for row in counts]
    return _matrix(counts, cells, classes, column=("accuracy", words))[0]


def confusion_difference(
    matrix: Tensor,
    classes: Sequence[str],
    *,
    names: tuple[str, str] = ("the one", "the other"),
) -> Figure:
    """Show which mistakes one run makes more often than another, and which less.

    Args:
        matrix: (K, K) confusion counts of one run minus those of the other, on the
            same images, rows actual.
        classes: K names.
        names: of the one and the other run.
    """
    counts = np.asarray(matrix)
    cells = [[signed(count, 0) for count in row] for row in counts.tolist()]
    figure, axes, bottom = _matrix(counts, cells, classes, foot=3 * LINE + 0.15)
    one, other = map(cut_middle, names)
    keys = (
        (VERMILION, f"mistakes that {one} makes more often than {other}"),
        (BLUE, "mistakes that it makes less often"),
    )
    for i, (colour, words) in enumerate(keys):
        middle = bottom + 0.2 + i * LINE
        place, fill = (EDGE, middle - 0.06), {"fc": colour, "ec": "none"}
        axes.add_patch(Rectangle(place, 0.12, 0.12, alpha=0.75, **fill))
        write(axes, words, EDGE + 0.18, middle, above=0.5)
    more = int(np.trace(counts))
    change = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "as many"
    words = f"diagonal: right answers, {change} in all"
    write(axes, words, EDGE, bottom + 0.2 + 2 * LINE, above=0.5)
    return figure


def _matrix(
    counts: np.ndarray,
    cells: Sequence[Sequence[str]],
    classes: Sequence[str],
    *,
    column: tuple[str, Sequence[str]] | None = None,
    foot: float = 0,
) -> tuple[Figure, Axes, float]:
    """Draw a confusion matrix; return figure, axes, and where the cells end.

    Args:
        counts: (K, K); beside the diagonal, what is above 0 is shaded vermilion,
            what is below 0 blue.
        cells: what to write in them, if there is room.
        classes: K names.
        column: title and K words at the right.
        foot: room left below, in inches.
    """
    left, right, top = 1.0, 0.75, 0.85
    cell = min((WIDTH - left - right) / len(classes), 0.7)
    side = cell * len(classes)
    figure, axes = new_sheet(
        max(left + side + right, 5 if foot else 0), top + side + foot
    )
    wrong = counts * ~np.eye(len(classes), dtype=bool)
    shade = np.zeros((*counts.shape, 4))
    shade[..., :3] = np.where((wrong > 0)[..., None], to_rgb(VERMILION), to_rgb(BLUE))
    shade[..., 3] = 0.75 * np.abs(wrong) / max(np.abs(wrong).max(), 1)
    extent = (left, left + side, top + side, top)
    axes.imshow(shade, extent=extent, interpolation="none", aspect="auto")
    faint = {"above": 1, "ha": "right", "alpha": 0.7}
    write(axes, "predicted →\nactual ↓", left - 0.1, top, **faint)
    slanted = {"rotation": 45, "rotation_mode": "anchor"}
    every = math.ceil(LINE / cell)  # names that would lie on others are left out
    for i, name in list(enumerate(classes))[::every]:
        middle = top + (i + 0.5) * cell
        write(axes, cut_words(name, left), left - 0.1, middle, above=0.5, ha="right")
        write(
            axes, cut_words(name, left), left + (i + 0.5) * cell, top - 0.2, **slanted
        )
    if column:
        title, words = column
        write(axes, title, left + side + right, top, **faint)
        for i, word in list(enumerate(words))[::every]:
            middle = top + (i + 0.5) * cell
            write(axes, word, left + side + right, middle, above=0.5, ha="right")
    for i in range(len(classes) + 1):
        axes.plot((left, left + side), (top + i * cell,) * 2, **HAIR)
        axes.plot((left + i * cell,) * 2, (top, top + side), **HAIR)
    for (i, j), count in np.ndenumerate(counts if cell >= 0.3 else counts[:0]):
        weight, alpha = "bold" if i == j else "normal", 1 if count else 0.35
        x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
        style = {"ha": "center", "weight": weight, "alpha": alpha}
        write(axes, cells[i][j], x, y, above=0.5, **style)
    return figure, axes, top + side
