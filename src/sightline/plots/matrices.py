"""Figures of confusion matrices."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sightline.measures.metrics import per_class_accuracy
from sightline.measures.numbers import signed
from sightline.plots.sheet import EDGE, Sheet, new_sheet, write
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

FAINT = {"ha": "right", "alpha": 0.7}


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
    return _matrix(counts, cells, classes, column=("accuracy", words)).figure


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
        key = Rectangle((EDGE, middle - 0.06), 0.12, 0.12, fc=colour, ec="none")
        key.set_alpha(0.75)
        axes.add_patch(key)
        write(axes, words, EDGE + 0.18, middle, above=0.5)
    more = int(np.trace(counts))
    change = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "as many"
    words = f"diagonal: right answers, {change} in all"
    write(axes, words, EDGE, bottom + 0.2 + 2 * LINE, above=0.5)
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where a matrix lies on its sheet, in inches."""

    classes: Sequence[str]
    left: float = 1.0
    right: float = 0.75
    top: float = 0.85

    @property
    def cell(self) -> float:
        """Return the side of a cell."""
        return min((WIDTH - self.left - self.right) / len(self.classes), 0.7)

    @property
    def side(self) -> float:
        """Return the side of the matrix."""
        return self.cell * len(self.classes)

    @property
    def bottom(self) -> float:
        """Return where the cells end."""
        return self.top + self.side

    @property
    def edge(self) -> float:
        """Return the right edge, with the column beside the matrix."""
        return self.left + self.side + self.right

    @property
    def rows(self) -> Iterator[tuple[int, float]]:
        """Yield index and middle of the rows whose names do not lie on others."""
        for i in range(0, len(self.classes), math.ceil(LINE / self.cell)):
            yield i, self.top + (i + 0.5) * self.cell


def _matrix(
    counts: np.ndarray,
    cells: Sequence[Sequence[str]],
    classes: Sequence[str],
    *,
    column: tuple[str, Sequence[str]] | None = None,
    foot: float = 0,
) -> Sheet:
    """Draw a confusion matrix.

    Args:
        counts: (K, K); beside the diagonal, what is above 0 is shaded vermilion,
            what is below 0 blue.
        cells: what to write in them, if there is room.
        classes: K names.
        column: title and K words at the right.
        foot: room left below, in inches.
    """
    layout = _Layout(classes)
    figure, axes = new_sheet(max(layout.edge, 5 if foot else 0), layout.bottom + foot)
    _shade(axes, layout, counts)
    _name(axes, layout)
    if column:
        title, words = column
        write(axes, title, layout.edge, layout.top, above=1, **FAINT)
        for i, middle in layout.rows:
            write(axes, words[i], layout.edge, middle, above=0.5, ha="right")
    if layout.cell >= 0.3:
        _fill(axes, layout, counts, cells)
    return Sheet(figure, axes, layout.bottom)


def _shade(axes: Axes, layout: _Layout, counts: np.ndarray) -> None:
    """Colour the mistakes, and draw the lines between the cells."""
    wrong = counts * ~np.eye(len(counts), dtype=bool)
    shade = np.zeros((*counts.shape, 4))
    shade[..., :3] = np.where((wrong > 0)[..., None], to_rgb(VERMILION), to_rgb(BLUE))
    shade[..., 3] = 0.75 * np.abs(wrong) / max(np.abs(wrong).max(), 1)
    left, right, top = layout.left, layout.left + layout.side, layout.top
    extent = (left, right, layout.bottom, top)
    axes.imshow(shade, extent=extent, interpolation="none", aspect="auto")
    for i in range(len(counts) + 1):
        axes.plot((left, right), (top + i * layout.cell,) * 2, **HAIR)
        axes.plot((left + i * layout.cell,) * 2, (top, layout.bottom), **HAIR)


def _name(axes: Axes, layout: _Layout) -> None:
    """Write the names of the classes at the left and above."""
    left, top = layout.left, layout.top
    write(axes, "predicted →\nactual ↓", left - 0.1, top, above=1, **FAINT)
    slanted = {"rotation": 45, "rotation_mode": "anchor"}
    for i, middle in layout.rows:
        name = cut_words(layout.classes[i], left)
        write(axes, name, left - 0.1, middle, above=0.5, ha="right")
        write(axes, name, left + middle - top, top - 0.2, above=0, **slanted)


def _fill(
    axes: Axes, layout: _Layout, counts: np.ndarray, cells: Sequence[Sequence[str]]
) -> None:
    """Write into the cells, right answers in bold."""
    for (i, j), count in np.ndenumerate(counts):
        weight, alpha = "bold" if i == j else "normal", 1 if count else 0.35
        x, y = (
            layout.left + (j + 0.5) * layout.cell,
            layout.top + (i + 0.5) * layout.cell,
        )
        words = cells[i][j]
        write(axes, words, x, y, above=0.5, ha="center", weight=weight, alpha=alpha)
