"""Figures as files: SVG that follows the page, PNG, PDF."""

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from sightline.errors import SightlineError
from sightline.plots.style import DARK_INK, DARK_PAPER, INK, PAPER

__all__ = ["save", "svg"]


def svg(figure: Figure) -> str:
    """Return `figure` as SVG text that brings its own ground, light and dark.

    A style sheet inside recolours ink and ground; in an <img> it follows the colour
    scheme of the page. Viewers that ignore it show dark ink on white.
    """
    file = io.StringIO()
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: searchable, sharp, small
            "svg.hashsalt": "sightline",  # the same ids in every build
        }
    ):
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
    """Write a figure to a file, in the format that its ending names.

    SVG follows a light or a dark page; all others are on white.

    Raises:
        SightlineError: if matplotlib cannot write that format.
    """
    path = Path(path)
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise SightlineError(
            f"cannot write a figure as {path.name!r}; "
            f"choose an ending from: {', '.join(sorted(known))}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".svg":
        path.write_text(svg(figure), encoding="utf-8")
    else:
        figure.savefig(path, facecolor="white", bbox_inches="tight", dpi=160)
