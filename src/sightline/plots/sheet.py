"""Sheets: figures measured in inches, on which pictures and words are placed."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sightline.files import printable
from sightline.plots.style import INK, LINE, TEXT, WIDTH, cut_words

__all__ = ["Sheet", "new_sheet", "place", "tile_sheet", "write", "write_framed"]

GAP = 0.12  # inches between tiles
EDGE = 0.05  # inches around a sheet
LETTER = 0.09  # inches that a letter takes, at most
Cell = np.ndarray | str  # a picture, or the words that stand for it


class Sheet(NamedTuple):
    """A figure in inches, and what is needed to draw on it."""

    figure: Figure
    axes: Axes
    bottom: float  #: inches from the top, where the tiles end


def new_sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure whose axes are measured in inches from the top left corner."""
    figure = Figure(figsize=(width + 2 * EDGE, height + 2 * EDGE), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-EDGE, width + EDGE), ylim=(height + EDGE, -EDGE))
    return figure, axes


def place(axes: Axes, picture: np.ndarray, x: float, y: float, side: float) -> None:
    """Put a picture on a sheet, its pixels as they are."""
    extent = (x, x + side, y + side, y)
    axes.imshow(picture, extent=extent, interpolation="none", aspect="auto")


def write(
    axes: Axes, words: str, x: float, y: float, *, above: float = 0, **style: object
) -> None:
    """Write lines on a sheet, on common baselines whatever their letters.

    `ha` names the side that lies at `x`; the share `above` of the lines (0, 0.5 or 1)
    lies above `y`.
    """
    lines = printable(words).split("\n")
    top = y - above * len(lines) * LINE
    for i, line in enumerate(lines):
        baseline = top + (i + 0.77) * LINE
        text = axes.text(x, baseline, line, color=INK, fontsize=TEXT)
        text.set(parse_math=False, **style)


def write_framed(
    axes: Axes, words: str, x: float, y: float, width: float, height: float
) -> None:
    """Put words in a dashed frame where a picture would have been."""
    frame = Rectangle((x, y), width, height, clip_on=False, fill=False)
    frame.set(linestyle=(0, (3, 3)), linewidth=0.8, edgecolor=INK, alpha=0.5)
    axes.add_patch(frame)
    lines = textwrap.fill(words, max(int(width * 12), 6))
    write(axes, lines, x + width / 2, y + height / 2, above=0.5, ha="center")


def tile_sheet(
    cells: Sequence[Sequence[Cell]],
    *,
    captions: Sequence[Sequence[str]] = (),
    headers: Sequence[str] = (),
    labels: Sequence[str] = (),
    columns: int | None = None,
    largest: float = 1.6,
    foot: float = 0,
    narrowest: float = 0,
) -> Sheet:
    """Lay out rows of square tiles on a sheet that is no wider than they need.

    Args:
        cells: rows of pictures, or of words where there is no picture.
        captions: words below each tile.
        headers: words above each column.
        labels: words at the left of each row.
        columns: tiles that have to fit in a row; the longest row when None.
        largest: upper limit of the side of a tile, in inches.
        foot: room left below the tiles, in inches.
        narrowest: lower limit of the width of the sheet, in inches.
    """
    columns = columns or max(len(row) for row in cells)
    letters = max(map(len, "\n".join(labels).split("\n")))
    left = min(LETTER * letters + 0.15, 1.5) if labels else 0
    side = min(largest, (WIDTH - left - GAP * (columns - 1)) / columns)
    top = LINE * max((header.count("\n") + 1 for header in headers), default=0)
    lines = max((c.count("\n") + 1 for row in captions for c in row), default=0)
    pitch = side + lines * LINE + GAP
    bottom = top + pitch * len(cells) - GAP
    last = LETTER * max(map(len, "\n".join(headers[-1:]).split("\n")))
    width = left + (columns - 1) * (side + GAP) + max(side + GAP, last)
    figure, axes = new_sheet(min(max(width, narrowest), WIDTH), bottom + foot)
    for column, header in enumerate(headers):
        write(axes, header, left + column * (side + GAP), 0)
    for i, row in enumerate(cells):
        y = top + i * pitch
        if labels:
            write(axes, cut_words(labels[i], left - 0.1), 0, y + side / 2, above=0.5)
        for j, cell in enumerate(row):
            caption = captions[i][j] if captions else ""
            _tile(axes, cell, caption, left + j * (side + GAP), y, side)
    return Sheet(figure, axes, bottom)


def _tile(
    axes: Axes, cell: Cell, caption: str, x: float, y: float, side: float
) -> None:
    """Draw one tile, a picture or words in a frame, and its caption below."""
    if isinstance(cell, str):
        write_framed(axes, cell, x, y, side, side)
    else:
        place(axes, cell, x, y, side)
    if caption:
        write(axes, cut_words(caption, side + GAP), x, y + side)
