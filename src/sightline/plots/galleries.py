"""Figures of pictures: grids, galleries, heatmaps."""

from collections.abc import Mapping, Sequence, Sized

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explanation
from sightline.plots.overlay import overlay
from sightline.plots.sheet import (
    GAP,
    Cell,
    new_sheet,
    place,
    tile_sheet,
    write,
    write_framed,
)
from sightline.plots.style import LINE, TEXT, WIDTH

__all__ = [
    "before_after",
    "class_grid",
    "gallery",
    "heatmaps",
    "rgb_channels",
    "sample_grid",
]

NO_MAP = {
    "blank": "no positive evidence",
    "even": "the same evidence everywhere",
    "not finite": "not a finite number",
}
Images = Tensor | np.ndarray  # (N, H, W, 3) uint8
KEY_WIDTH = 4.45  # inches that the colours of a heatmap and their words take


def sample_grid(
    images: Images, labels: Tensor, classes: Sequence[str], *, columns: int = 6
) -> Figure:
    """Show pictures in reading order, each over the name of its class."""
    return gallery(images, [classes[i] for i in labels.tolist()], columns=columns)


def class_grid(
    images: Images, labels: Tensor, classes: Sequence[str], *, per_class: int = 6
) -> Figure:
    """Show the first pictures of every class, one class in a row."""
    cells: list[list[Cell]] = []
    for label in range(len(classes)):
        chosen = (labels == label).nonzero().flatten()[:per_class]
        cells.append(list(as_pictures(images[chosen])) or ["no picture"])
    return tile_sheet(cells, labels=classes, columns=per_class, largest=0.8).figure


def before_after(original: Images, augmented: Images | Mapping[str, Images]) -> Figure:
    """Show pictures in the first row, and the same ones augmented below.

    Several augmentations are a mapping from the names of their rows.
    """
    rows = augmented if isinstance(augmented, Mapping) else {"augmented": augmented}
    cells = [list(as_pictures(images)) for images in (original, *rows.values())]
    return tile_sheet(cells, labels=["original", *rows], largest=0.9).figure


def rgb_channels(
    image: Images, *, crop: tuple[int, int] | None = None, size: int = 6
) -> Figure:
    """Take one picture apart: its three channels, and the numbers in a part of it.

    Args:
        image: (H, W, 3) uint8.
        crop: top and left pixel of the part whose numbers are shown; the middle
            when None.
        size: height and width of that part, in pixels.
    """
    picture = as_pictures(image[None])[0]
    top, left = crop or [(side - size) // 2 for side in picture.shape[:2]]
    part = picture[top : top + size, left : left + size]
    greys = [np.repeat(picture[..., i, None], 3, axis=2) for i in range(3)]
    names = ["picture", "red", "green", "blue"]
    large, small = (WIDTH - 2 * GAP) / 3, (WIDTH - 3 * GAP) / 4
    below = LINE + small + 1.5 * LINE
    figure, axes = new_sheet(WIDTH, below + large)
    for i, (name, tile) in enumerate(zip(names, [picture, *greys], strict=True)):
        x = i * (small + GAP)
        write(axes, name, x, 0)
        place(axes, tile, x, LINE, small)
        pixel = small / picture.shape[1]
        frame = (x + left * pixel, LINE + top * pixel)
        for width, colour in ((2.4, "#ffffff"), (1, "#000000")):
            side = size * pixel
            box = Rectangle(frame, side, side, fill=False, ec=colour, lw=width)
            axes.add_patch(box)
    for i, name in enumerate(names[1:]):
        x = i * (large + GAP)
        write(axes, f"{name}, inside the frame", x, below, above=1)
        _numbers(axes, part[..., i], x, below, large)
    return figure


def gallery(
    images: Images,
    titles: Sequence[str],
    *,
    columns: int = 5,
    largest: float = 1.6,
    empty: str = "no picture to show",
) -> Figure:
    """Show pictures in reading order, each over its title of one or more lines.

    No picture is wider than `largest` inches. Without one, the words `empty` are shown
    instead of the gallery.
    """
    if not len(images):
        figure, axes = new_sheet(WIDTH, 1)
        write_framed(axes, empty, 0, 0, WIDTH, 1)
        return figure
    check_length("titles", titles, images)
    pictures = list(as_pictures(images))
    starts = range(0, len(pictures), columns)
    cells = [pictures[start : start + columns] for start in starts]
    words = [list(titles[start : start + columns]) for start in starts]
    return tile_sheet(cells, captions=words, columns=columns, largest=largest).figure


def heatmaps(
    images: Images,
    explanations: Mapping[str, Explanation],
    *,
    titles: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    opacity: float = 0.6,
    wholes: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> Figure:
    """Show every picture beside its heatmaps; a map without evidence is not drawn.

    Args:
        images: (N, H, W, 3) uint8, not normalised.
        explanations: one column each, under its key: what `explain` returns, or for
            instance `{"predicted": ..., "actual": ...}`.
        titles: one per picture, shown at the left.
        classes: names for the captions, which always give the largest evidence.
        opacity: of the colours over the picture.
        wholes: a first column of what the pictures were cut from, under its key, each
            (L, L, 3 or 4) uint8.
    """
    pictures = as_pictures(images)
    if not len(pictures):
        return gallery(pictures, [])
    check_length("titles", pictures if titles is None else titles, pictures)
    columns: list[list[Cell]] = [list(each) for each in (wholes or {}).values()]
    columns.append(list(pictures))
    captions = [[""] * len(pictures)] * len(columns)
    headers = [*(wholes or {}), f"picture\n{_size(pictures)}"]
    for name, explanation in explanations.items():
        check_length(f"maps {name!r}", explanation.status, pictures)
        columns.append(_overlays(pictures, explanation, opacity))
        captions.append(_words(explanation, classes or ()))
        headers.append(f"{name}\n{_size(explanation.evidence)}")
    sheet = tile_sheet(
        list(zip(*columns, strict=True)),
        captions=list(zip(*captions, strict=True)),
        headers=headers,
        labels=titles or (),
        largest=1.1,
        foot=0.3,
        narrowest=KEY_WIDTH,
    )
    colour_key(sheet.axes, sheet.bottom + 0.12, opacity)
    return sheet.figure


def _overlays(
    pictures: np.ndarray, explanation: Explanation, opacity: float
) -> list[Cell]:
    """Return each picture under its map, or why it has none."""
    drawn = overlay(pictures, explanation.heatmaps, opacity=opacity).numpy()
    return [
        tile if status == "ok" else NO_MAP[status]
        for tile, status in zip(drawn, explanation.status, strict=True)
    ]


def _words(explanation: Explanation, classes: Sequence[str]) -> list[str]:
    """Say what each map explains, if classes have names, and how strongly."""
    words, against = [], explanation.against
    largest = explanation.evidence.amax((1, 2)).tolist()
    for i, status in enumerate(explanation.status):
        lines = []
        if classes and status != "not finite":
            lines.append(f"for {classes[int(explanation.targets[i])]}")
            if isinstance(against, Tensor):
                lines.append(f"not {classes[int(against[i])]}")
            elif against == "rest":
                lines.append("not the rest")
        if status in ("ok", "even"):
            lines.append(f"at most {largest[i]:.2g}")
        words.append("\n".join(lines))
    return words


def _numbers(axes: Axes, values: np.ndarray, x: float, y: float, side: float) -> None:
    """Draw one channel as grey squares with the value written in each."""
    place(axes, np.repeat(values[..., None], 3, axis=2), x, y, side)
    step = side / len(values)
    for (row, column), value in np.ndenumerate(values):
        colour = "#000000" if value > 120 else "#ffffff"
        middle = (x + (column + 0.5) * step, y + (row + 0.5) * step)
        number = axes.text(*middle, str(value), color=colour, fontsize=TEXT)
        number.set(ha="center", va="center")


def colour_key(axes: Axes, y: float, opacity: float) -> None:
    """Explain the colours of the overlays, over a middle grey."""
    grey = np.full((1, 64, 3), 128, dtype=np.uint8)
    ramp = overlay(grey, np.linspace(0, 1, 64)[None], opacity=opacity).numpy()
    left, width = 0.45, 1.0
    extent = (left, left + width, y + 0.12, y)
    axes.imshow(ramp, extent=extent, interpolation="none", aspect="auto")
    write(axes, "least", left - 0.06, y + 0.06, above=0.5, ha="right")
    words = "most evidence; every map has its own scale"
    write(axes, words, left + width + 0.06, y + 0.06, above=0.5)


def check_length(name: str, values: Sized, images: Images) -> None:
    """Refuse another number of values than of pictures."""
    if len(values) != len(images):
        raise SightlineError(
            f"{len(values)} {name} for {len(images)} pictures: give one for each"
        )


def _size(maps: Images) -> str:
    """Name the height and width of (N, H, W, ...)."""
    return " × ".join(str(side) for side in maps.shape[1:3])


def as_pictures(images: Images) -> np.ndarray:
    """Return (N, H, W, 3) uint8; refuse any other array."""
    pictures = np.asarray(images)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise SightlineError(
            f"pictures of shape {pictures.shape} and type {pictures.dtype}: expected "
            "(N, H, W, 3) uint8; undo the normalisation first"
        )
    return pictures
