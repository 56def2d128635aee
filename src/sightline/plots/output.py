"""Figures as files: SVG that follows the page, PNG, PDF."""

import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from sightline.errors import SightlineError
from sightline.files import write_atomically, write_text
from sightline.plots.style import DARK_INK, DARK_PAPER, INK, PAPER

__all__ = ["save", "svg"]


def svg(figure: Figure) -> str:
    """Return `figure` as SVG text that brings its own ground, light and dark.

    A style sheet inside recolours ink and ground; in an <img> it follows the colour
    scheme of the page. Viewers that ignore it show dark ink on white.
    """
    file = io.StringIO()
    with (
        matplotlib.rc_context(
            {
                "svg.fonttype": "none",  # text stays text: searchable, sharp, small
                "svg.hashsalt": "sightline",  # the same ids in every build
            }
        ),
        warnings.catch_warnings(),
    ):
        # what matplotlib's font lacks is written by that of the page
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(
            file,
            format="svg",
            facecolor=PAPER,
            bbox_inches="tight",
            dpi=144,  # of what is rasterised
            metadata={"Date": None, "Creator": None},
        )
    # no ancestor in the selectors: a mark is drawn by reference, and has none
    rules = "".join(
        f'[style*="{prop}: {old}"]{{{prop}:{new} !important}}'
        for prop in ("fill", "stroke")
        for old, new in ((INK, DARK_INK), (PAPER, DARK_PAPER))
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>"
    head, rest = file.getvalue().split("<svg ", 1)
    attributes, body = rest.split(">", 1)
    return f'<svg class="sightline" {attributes}>{style}{body}'


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure to a file, whole or not at all, in the format of its ending.

    SVG follows a light or a dark page; all others are on white.

    Raises:
        SightlineError: if matplotlib cannot write that format.
        RunError: if the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    known = figure.canvas.get_supported_filetypes()
    ending = path.suffix[1:].lower()
    if ending not in known:
        raise SightlineError(
            f"cannot write a figure as {path.name!r}; "
            f"choose an ending from: {', '.join(sorted(known))}"
        )
    if ending == "svg":
        write_text(path, svg(figure))
        return
    style: dict[str, Any] = {"facecolor": "white", "bbox_inches": "tight", "dpi": 160}
    write_atomically(path, lambda file: figure.savefig(file, format=ending, **style))
