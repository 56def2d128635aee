"""Figures of pictures: grids, galleries, heatmaps."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

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
    "Images",
    "NO_MAP",
    "Predictions",
    "as_pictures",
    "before_after",
    "captions",
    "check_length",
    "class_grid",
    "colour_key",
    "correct",
    "gallery",
    "heatmaps",
    "mistakes",
    "rgb_channels",
    "sample_grid",
]

NO_MAP = {
    "blank": "no positive evidence",
    "even": "the same evidence everywhere",
    "not finite": "not a finite number",
}
Images = Tensor | np.ndarray  # (N, H, W, 3) uint8


class Predictions(Protocol):
    """What the galleries need of an `Evaluation`."""

    @property
    def labels(self) -> Tensor:
        """Actual classes, (N,)."""

    @property
    def predictions(self) -> Tensor:
        """Predicted classes, (N,)."""

    @property
    def confidences(self) -> Tensor:
        """Probabilities of the predicted classes, (N,)."""


def sample_grid(
    images: Images, labels: Tensor, classes: Sequence[str], *, columns: int = 6
) -> Figure:
    """Show pictures in reading order, each over the name of its class."""
    names = [classes[label] for label in labels.tolist()]
    return gallery(images, names, columns=columns)


def class_grid(
    images: Images, labels: Tensor, classes: Sequence[str], *, per_class: int = 6
) -> Figure:
    """Show the first pictures of every class, one class in a row."""
    cells: list[list[Cell]] = []
    for label in range(len(classes)):
        chosen = (labels == label).nonzero().flatten()[:per_class]
        cells.append(list(as_pictures(images[chosen])) or ["no picture"])
    return tile_sheet(cells, labels=classes, columns=per_class, largest=0.8)[0]


def before_after(original: Images, augmented: Images | Mapping[str, Images]) -> Figure:
    """Show pictures in the first row, and the same ones augmented below.

    Args:
        original: (N, H, W, 3) uint8.
        augmented: the same pictures after augmentation; several augmentations as a
            mapping from the name of the row.
    """
    rows = augmented if isinstance(augmented, Mapping) else {"augmented": augmented}
    rows = {"original": original, **rows}
    cells = [list(as_pictures(images)) for images in rows.values()]
    return tile_sheet(cells, labels=list(rows), largest=0.9)[0]


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
    middle = [(side - size) // 2 for side in picture.shape[:2]]
    top, left = middle if crop is None else crop
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
            box = Rectangle(
                frame, size * pixel, size * pixel, fill=False, ec=colour, lw=width
            )
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
    empty: str = "no picture to show",
) -> Figure:
    """Show pictures in reading order, each over its title of one or more lines.

    Args:
        images: (N, H, W, 3) uint8; N may be 0.
        titles: one per picture, as `captions` makes them.
        columns: pictures in a row.
        empty: what to say when there is no picture.
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
    return tile_sheet(cells, captions=words, columns=columns)[0]


def mistakes(
    evaluation: Predictions,
    count: int | None = None,
    *,
    order: Literal["test", "confident"] = "test",
) -> Tensor:
    """Return the indices of misclassified images, at most `count`.

    Args:
        evaluation: labels, predictions and confidences of the same images.
        count: all of them when None.
        order: `test` keeps the order of the images; `confident` puts first what the
            model was most sure of, and equals in the order of the images.
    """
    return _pick(evaluation, evaluation.predictions != evaluation.labels, count, order)


def correct(
    evaluation: Predictions,
    count: int | None = None,
    *,
    order: Literal["test", "confident"] = "test",
) -> Tensor:
    """Return the indices of correctly classified images; see `mistakes`."""
    return _pick(evaluation, evaluation.predictions == evaluation.labels, count, order)


def captions(
    evaluation: Predictions, indices: Tensor, classes: Sequence[str]
) -> list[str]:
    """Name the actual class, and below it the predicted one with its confidence."""
    chosen = zip(
        evaluation.labels[indices].tolist(),
        evaluation.predictions[indices].tolist(),
        evaluation.confidences[indices].tolist(),
        strict=True,
    )
    return [
        f"{classes[label]}\n→ {classes[prediction]} {confidence:.0%}"
        for label, prediction, confidence in chosen
    ]


def heatmaps(
    images: Images,
    explanations: Mapping[str, Explanation],
    *,
    titles: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    opacity: float = 0.6,
) -> Figure:
    """Show every picture beside its heatmaps; a map without evidence is not drawn.

    Args:
        images: (N, H, W, 3) uint8, not normalised.
        explanations: one column each, under its key: what `explain` returns, or for
            instance `{"predicted": ..., "actual": ...}`.
        titles: one per picture, shown at the left.
        classes: names; when given, each map says which class it explains.
        opacity: of the colours over the picture.
    """
    pictures = as_pictures(images)
    if not len(pictures):
        return gallery(pictures, [])
    cells: list[list[Cell]] = [[picture] for picture in pictures]
    words = [[""] for _ in pictures]
    check_length("titles", pictures if titles is None else titles, pictures)
    headers = [f"original\n{_size(pictures)}"]
    for name, found in explanations.items():
        check_length(f"maps {name!r}", found.status, pictures)
        headers.append(f"{name}\n{_size(found.evidence)}")
        drawn = overlay(pictures, found.heatmaps, opacity=opacity).numpy()
        for i, status in enumerate(found.status):
            cells[i].append(drawn[i] if status == "ok" else NO_MAP[status])
            said = classes and status != "not finite"
            words[i].append(_asked(found, i, classes) if said else "")
    figure, axes, bottom = tile_sheet(
        cells,
        captions=words if classes else None,
        headers=headers,
        labels=titles,
        largest=1.3,
        foot=0.3,
    )
    colour_key(axes, bottom + 0.12, opacity)
    return figure


def _asked(found: Explanation, i: int, classes: Sequence[str]) -> str:
    """Say which class a map explains, and against which."""
    words = f"for {classes[found.targets[i]]}"
    if found.against is None:
        return words
    return f"{words},\nnot {classes[found.against[i]]}"


def _numbers(axes: Axes, values: np.ndarray, x: float, y: float, side: float) -> None:
    """Draw one channel as grey squares with the value written in each."""
    place(axes, np.repeat(values[..., None], 3, axis=2), x, y, side)
    step = side / len(values)
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            x + (column + 0.5) * step,
            y + (row + 0.5) * step,
            str(value),
            color="#000000" if value > 120 else "#ffffff",
            fontsize=TEXT,
            ha="center",
            va="center",
        )


def colour_key(axes: Axes, y: float, opacity: float) -> None:
    """Explain the colours of the overlays, over a middle grey."""
    grey = np.full((1, 64, 3), 128, dtype=np.uint8)
    ramp = overlay(grey, np.linspace(0, 1, 64)[None], opacity=opacity).numpy()
    left, width = 0.45, 1.3
    axes.imshow(
        ramp,
        extent=(left, left + width, y + 0.12, y),
        interpolation="none",
        aspect="auto",
    )
    write(axes, "least", left - 0.06, y + 0.06, above=0.5, ha="right")
    words = "most evidence; every map has its own scale"
    write(axes, words, left + width + 0.06, y + 0.06, above=0.5)


def _pick(
    evaluation: Predictions, chosen: Tensor, count: int | None, order: str
) -> Tensor:
    """Return the indices where `chosen` is true, in the order asked for."""
    indices = chosen.nonzero().flatten()
    if order == "confident":
        confidences = evaluation.confidences[indices]
        indices = indices[confidences.argsort(descending=True, stable=True)]
    elif order != "test":
        raise SightlineError(f"unknown order {order!r}; choose from: test, confident")
    return indices[:count]


def check_length(name: str, given: Sequence[object], images: Images) -> None:
    """Ask for as many of something as there are pictures."""
    if len(given) != len(images):
        raise SightlineError(
            f"{len(given)} {name} for {len(images)} pictures: give one for each"
        )


def _size(maps: Images) -> str:
    """Name the height and width of (N, H, W, ...)."""
    return " × ".join(str(side) for side in maps.shape[1:3])


def as_pictures(images: Images) -> np.ndarray:
    """Return (N, H, W, 3) uint8, or say what was given instead."""
    pictures = np.asarray(images)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise SightlineError(
            f"pictures of shape {pictures.shape} and type {pictures.dtype}: expected "
            "(N, H, W, 3) uint8; undo the normalisation first"
        )
    return pictures
