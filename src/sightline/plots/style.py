"""The look that all figures share: sizes, axes, words beside curves.

Words are in `INK` on transparent ground. Colours: Okabe and Ito (2008), those
readable on light and on dark.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from sightline.files import printable

__all__ = ["COLOURS", "DARK_INK", "DARK_PAPER", "INK", "PAPER"]

INK = "#1b1f24"  #: `svg` turns exactly this light on a dark page
PAPER = "#fffffe"  #: a white that no picture uses, which marks the ground of a figure
DARK_INK, DARK_PAPER = "#d9dee4", "#14181e"  #: as in custom.css
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
#: of the first four curves, told apart by people of any colour vision
COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
DASHES = ("-", "--", ":")  # of the first four curves, the next four, the rest
WIDTH = 6.4  # inches
TEXT, TITLE = 9, 10  # points
LINE = TEXT * 1.3 / 72  # inches from one line of words to the next
HAIR: dict[str, Any] = {"color": INK, "alpha": 0.15, "lw": 0.6}


def new_figure(height: float) -> Figure:
    """Make an empty figure of the usual width that finds its own margins."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")


def apply(axes: Axes, title: str, x_label: str = "") -> None:
    """Give axes the house style: title at the left, two thin spines, faint lines."""
    axes.set_xlabel(x_label, color=INK, fontsize=TEXT)
    axes.set_title(title, loc="left", color=INK, fontsize=TITLE)
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set(color=INK, alpha=0.5, linewidth=0.8)
    axes.tick_params(which="both", length=3, width=0.6, color=INK)
    axes.tick_params(which="both", labelsize=TEXT, labelcolor=INK)
    axes.grid(axis="y", color=INK, alpha=0.12, lw=0.6)
    axes.set_axisbelow(True)


def log_axis(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers at the decades."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def label_ends(axes: Axes, ends: Sequence[tuple], height: float) -> None:
    """Write names at the right of the curves' ends, moved apart where they collide.

    An end is the last value of a curve, its name, its colour and, if it is not solid,
    its dash; the height is that of the axes in inches.
    """
    low, high = axes.get_ylim()
    apart = (high - low) * TEXT * 1.25 / 72 / height
    ends = sorted(ends, key=lambda end: end[:2])
    places = _apart([end[0] for end in ends], apart, high)
    for place, (_, name, colour, *dash) in zip(places, ends, strict=True):
        axes.plot(
            (1.012, 1.07 if dash else 1.036),  # room to tell a dash from a line
            (place, place),
            transform=axes.get_yaxis_transform(),
            color=colour,
            ls=dash[0] if dash else "-",
            lw=1.8,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
        write_beside(axes, place, name, points=28 if dash else 18)


def _apart(values: Sequence[float], gap: float, high: float) -> list[float]:
    """Move ascending values at least `gap` apart, up first, then down from `high`."""
    places: list[float] = []
    for value in values:
        places.append(max(min(value, high), (places or [-np.inf])[-1] + gap))
    for i in reversed(range(len(places))):
        ceiling = high if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], ceiling)
    return places


def write_beside(axes: Axes, value: float, words: str, *, points: float = 6) -> None:
    """Write at the right edge of the axes, at the height of `value`."""
    edge = ("axes fraction", "data")
    write_note(axes, words, (1, value), (points, 0), xycoords=edge, va="center")


def write_note(
    axes: Axes,
    words: str,
    xy: tuple[float, float],
    offset: tuple[float, float],
    *,
    xycoords: str | tuple[str, str] = "axes fraction",
    **style: object,
) -> None:
    """Write `offset` points away from a position."""
    words = printable(words)
    note = axes.annotate(words, xy, offset, xycoords, "offset points", color=INK)
    note.set(**({"fontsize": TEXT, "parse_math": False} | style))


def look(i: int) -> tuple[str, str]:
    """Return colour and dash of curve `i`: the colours first, then the dashes."""
    return COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]


def short_number(value: float) -> str:
    """Write a number with two digits: 0.021, 2.1e-5."""
    if not 0 < abs(value) < 1e-3:
        return f"{value:.2g}".replace("e+0", "e")
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")


def cut_words(words: str, width: float) -> str:
    """Shorten the lines that would be wider than `width` inches."""
    fits = max(int(width * 72 / (TEXT * 0.58)), 4)
    lines = words.split("\n")
    return "\n".join(
        line if len(line) <= fits else line[: fits - 1] + "…" for line in lines
    )


def cut_middle(name: str, letters: int = 22) -> str:
    """Shorten a long name in its middle: runs often differ at the end."""
    name, half = printable(name), letters // 2
    return name if len(name) <= letters else f"{name[: half - 1]}…{name[-half:]}"
