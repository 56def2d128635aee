"""Figures from plain data.

Every function returns a `Figure` that pyplot knows nothing about: a notebook shows
it when it ends a cell, nothing is left open, and nothing is shown by surprise.
Backgrounds are transparent and words are in `INK`, so that one picture can follow a
light or a dark page. Colours: Okabe and Ito (2008), those readable on both.
"""

import io
import itertools
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Literal, Protocol

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

from sightline.errors import SightlineError
from sightline.explain import Explanation, overlay
from sightline.metrics import per_class_accuracy

__all__ = [
    "COLOURS",
    "DARK_INK",
    "DARK_PAPER",
    "INK",
    "PAPER",
    "before_after",
    "captions",
    "class_grid",
    "compare_histories",
    "confusion",
    "confusion_difference",
    "correct",
    "gallery",
    "heatmaps",
    "history",
    "lr_curve",
    "lr_curves",
    "mistakes",
    "rgb_channels",
    "sample_grid",
    "save",
    "schedule",
    "svg",
]

INK = "#1b1f24"  # `svg` turns exactly this light on a dark page
PAPER = "#fffffe"  # a white that no picture uses: it marks the ground of a figure
DARK_INK, DARK_PAPER = "#d9dee4", "#14181e"  # as in custom.css
BLUE, VERMILION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
DASHES = ("-", "--", ":")  # of the first four curves, the next four, the rest
SVG_STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, sharp, small
    "svg.hashsalt": "sightline",  # the same ids in every build
}

WIDTH = 6.4  # inches
TEXT, TITLE = 9, 10  # points
LINE = TEXT * 1.3 / 72  # inches from one line of words to the next
GAP = 0.12  # inches between tiles
EDGE = 0.05  # inches around a sheet
HAIR = {"color": INK, "alpha": 0.15, "lw": 0.6}
NO_MAP = {"blank": "no positive evidence", "not finite": "not a finite number"}

Images = Tensor | np.ndarray  # (N, H, W, 3) uint8
Cell = np.ndarray | str  # a picture, or the words that stand for it


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


class Curve(Protocol):
    """What the curves need of a `RangeTest`."""

    @property
    def lrs(self) -> Sequence[float]:
        """Learning rate of each step."""

    @property
    def losses(self) -> Sequence[float]:
        """Loss of each step."""

    @property
    def smoothed(self) -> Sequence[float]:
        """The losses, smoothed."""


# --- pictures -----------------------------------------------------------------


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
        cells.append(list(_pictures(images[chosen])) or ["no picture"])
    return _tiles(cells, labels=classes, columns=per_class, largest=0.8)[0]


def before_after(original: Images, augmented: Images | Mapping[str, Images]) -> Figure:
    """Show pictures in the first row, and the same ones augmented below.

    Args:
        original: (N, H, W, 3) uint8.
        augmented: the same pictures after augmentation; several augmentations as a
            mapping from the name of the row.
    """
    rows = augmented if isinstance(augmented, Mapping) else {"augmented": augmented}
    rows = {"original": original, **rows}
    cells = [list(_pictures(images)) for images in rows.values()]
    return _tiles(cells, labels=list(rows), largest=0.9)[0]


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
    picture = _pictures(image[None])[0]
    middle = [(side - size) // 2 for side in picture.shape[:2]]
    top, left = middle if crop is None else crop
    part = picture[top : top + size, left : left + size]
    greys = [np.repeat(picture[..., i, None], 3, axis=2) for i in range(3)]
    names = ["picture", "red", "green", "blue"]
    large, small = (WIDTH - 2 * GAP) / 3, (WIDTH - 3 * GAP) / 4
    below = LINE + small + 1.5 * LINE
    figure, axes = _sheet(WIDTH, below + large)
    for i, (name, tile) in enumerate(zip(names, [picture, *greys], strict=True)):
        x = i * (small + GAP)
        _words(axes, name, x, 0)
        _draw(axes, tile, x, LINE, small)
        pixel = small / picture.shape[1]
        frame = (x + left * pixel, LINE + top * pixel)
        for width, colour in ((2.4, "#ffffff"), (1, "#000000")):
            box = Rectangle(
                frame, size * pixel, size * pixel, fill=False, ec=colour, lw=width
            )
            axes.add_patch(box)
    for i, name in enumerate(names[1:]):
        x = i * (large + GAP)
        _words(axes, f"{name}, inside the frame", x, below, above=1)
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
        figure, axes = _sheet(WIDTH, 1)
        _message(axes, empty, 0, 0, WIDTH, 1)
        return figure
    _check_length("titles", titles, images)
    pictures = list(_pictures(images))
    starts = range(0, len(pictures), columns)
    cells = [pictures[start : start + columns] for start in starts]
    words = [list(titles[start : start + columns]) for start in starts]
    return _tiles(cells, captions=words, columns=columns)[0]


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
    pictures = _pictures(images)
    if not len(pictures):
        return gallery(pictures, [])
    cells: list[list[Cell]] = [[picture] for picture in pictures]
    words = [[""] for _ in pictures]
    _check_length("titles", pictures if titles is None else titles, pictures)
    headers = [f"original\n{_size(pictures)}"]
    for name, found in explanations.items():
        _check_length(f"maps {name!r}", found.status, pictures)
        headers.append(f"{name}\n{_size(found.evidence)}")
        drawn = overlay(pictures, found.heatmaps, opacity=opacity).numpy()
        for i, status in enumerate(found.status):
            cells[i].append(drawn[i] if status == "ok" else NO_MAP[status])
            said = classes and status != "not finite"
            words[i].append(f"for {classes[found.targets[i]]}" if said else "")
    figure, axes, bottom = _tiles(
        cells,
        captions=words if classes else None,
        headers=headers,
        labels=titles,
        largest=1.3,
        foot=0.3,
    )
    _colour_key(axes, bottom + 0.12, opacity)
    return figure


# --- learning rates -----------------------------------------------------------


def lr_curve(test: Curve, suggestions: Mapping[str, float]) -> Figure:
    """Plot the loss against the learning rate, with what each rule suggests.

    The vertical range follows the smoothed loss down to its minimum: what diverges
    later leaves the frame.
    """
    figure = _figure(3.4)
    axes = figure.subplots()
    axes.plot(test.lrs, test.losses, color=INK, alpha=0.3, lw=0.8)
    axes.plot(test.lrs, test.smoothed, color=BLUE, lw=1.8)
    _log_axis(axes)
    _frame(axes, "")
    axes.set_ylim(_loss_range([test]))
    axes.set_xlabel("learning rate", color=INK, fontsize=TEXT)
    ends = [
        (test.losses[-1], "each step", INK + "66"),
        (test.smoothed[-1], "smoothed", BLUE),
    ]
    _label_ends(axes, ends, 2.2)
    _point_out(axes, test, suggestions)
    # over the numbers of the axis: the names of the rules need the room above it
    corner = {"xy": (0, 1), "xycoords": "axes fraction", "ha": "right"}
    _note(axes, "Loss", (-5, 9), fontsize=TITLE, **corner)
    return figure


def lr_curves(
    tests: Sequence[Curve], suggestions: Sequence[Mapping[str, float]]
) -> Figure:
    """Plot several range tests, and how far apart the suggestions of each rule lie.

    Args:
        tests: one range test per seed.
        suggestions: what the rules suggest for each of them.
    """
    rules = list(suggestions[0])
    figure = _figure(2.6 + 0.28 * len(rules) + 0.7)
    upper, lower = figure.subplots(
        2, sharex=True, height_ratios=(2.6, 0.28 * len(rules) + 0.1)
    )
    for test in tests:
        upper.plot(test.lrs, test.smoothed, color=BLUE, lw=1.2, alpha=0.8)
    upper.set_ylim(_loss_range(tests))
    _frame(upper, f"Loss, smoothed, of {len(tests)} seeds")
    upper.tick_params(axis="x", which="both", length=0)
    for row, rule in enumerate(rules):
        lrs = sorted(suggestion[rule] for suggestion in suggestions)
        lower.plot((lrs[0], lrs[-1]), (row, row), color=VERMILION, lw=1, alpha=0.6)
        lower.plot(lrs, [row] * len(lrs), "o", color=VERMILION, ms=5, alpha=0.8)
        _beside(lower, row, f"{_short(lrs[0])} to {_short(lrs[-1])}")
    _log_axis(lower)
    _frame(lower, "Suggestions")
    lower.set_yticks(range(len(rules)), rules)
    lower.set_ylim(len(rules) - 0.5, -0.5)
    lower.set_xlabel("learning rate", color=INK, fontsize=TEXT)
    return figure


def schedule(
    steps: Sequence[int],
    lrs: Sequence[float] | Mapping[str, Sequence[float]],
    momenta: Sequence[float] | None = None,
) -> Figure:
    """Plot the learning rate of every step, and the momentum below it.

    Args:
        steps: the numbers of the steps.
        lrs: one learning rate per step; several schedules as a mapping from names.
        momenta: one momentum per step; no second panel when None.
    """
    several = isinstance(lrs, Mapping)
    curves = lrs if several else {"": lrs}
    heights = (2.4,) if momenta is None else (2.4, 1.2)
    figure = _figure(sum(heights) + 0.7)
    panels = np.ravel(figure.subplots(len(heights), sharex=True, height_ratios=heights))
    ends = []
    for (name, values), colour in zip(
        curves.items(), _colours(len(curves)), strict=True
    ):
        panels[0].plot(steps, values, color=colour, lw=1.8)
        ends.append((values[-1], name, colour))
    panels[0].set_ylim(bottom=0)
    _frame(panels[0], "Learning rate" + ("" if several else f": {_course(lrs)}"))
    if several:
        _label_ends(panels[0], ends, heights[0])
    if momenta is not None:
        panels[1].plot(steps, momenta, color=PURPLE, lw=1.8)
        _frame(panels[1], f"Momentum: {_course(momenta)}")
    panels[-1].set_xlabel("step", color=INK, fontsize=TEXT)
    return figure


# --- training -----------------------------------------------------------------


def history(rows: Sequence[Mapping[str, float]] | Sequence[object]) -> Figure:
    """Plot loss, accuracy and learning rate over the epochs of a run.

    Args:
        rows: one per epoch, as in `Run.history` or as `fit` yields them.
    """
    rows = [asdict(row) if is_dataclass(row) else row for row in rows]
    if not rows:
        raise SightlineError("the history is empty: train at least one epoch")
    epochs = [row["epoch"] for row in rows]
    heights = (1.9, 1.9, 1.1)
    figure = _figure(sum(heights) + 0.9)
    panels = figure.subplots(3, sharex=True, height_ratios=heights)
    _train_and_validation(panels[0], rows, "loss", "Loss", heights[0])
    _train_and_validation(panels[1], rows, "accuracy", "Accuracy, %", heights[1])
    # an epoch begins where the one before it ended
    begins = [epoch - 1 for epoch in epochs] + [epochs[-1]]
    lrs = [row["lr"] for row in rows] + [rows[-1]["last_lr"]]
    panels[2].plot(begins, lrs, color=GREEN, lw=1.6)
    panels[2].set_ylim(bottom=0)
    _frame(panels[2], "Learning rate")
    _label_ends(panels[2], [(lrs[-1], _short(lrs[-1]), GREEN)], heights[2])
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[2].set_xlabel("epoch", color=INK, fontsize=TEXT)
    return figure


def compare_histories(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
) -> Figure:
    """Plot validation accuracy and training loss of several runs over their epochs.

    Args:
        histories: rows as in `Run.history`, under the names of the runs; a run
            without an epoch is left out.
    """
    begun = {name: rows for name, rows in histories.items() if rows}
    if not begun:
        raise SightlineError("no run has an epoch to plot: train at least one")
    height = max(2.1, 0.19 * len(begun))
    figure = _figure(2 * height + 1.5)  # titles and numbers of the axes
    panels = figure.subplots(2, sharex=True)
    quantities = (
        ("validation_accuracy", "Validation accuracy, %", 100, 1),
        ("train_loss", "Training loss", 1, 2),
    )
    for axes, (key, title, unit, digits) in zip(panels, quantities, strict=True):
        ends = []
        for i, (name, rows) in enumerate(begun.items()):
            colour = COLOURS[i % len(COLOURS)]
            dash = DASHES[i // len(COLOURS) % len(DASHES)]
            values = [unit * row[key] for row in rows]
            epochs = [row["epoch"] for row in rows]
            axes.plot(epochs, values, "o", ls=dash, color=colour, lw=1.6, ms=3)
            words = f"{_middle_cut(name)} {values[-1]:.{digits}f}"
            ends.append((values[-1], words, colour, dash))
        _frame(axes, title)
        _label_ends(axes, ends, height)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_xlabel("epoch", color=INK, fontsize=TEXT)
    return figure


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
    cells = [[f"{count:+,}" if count else "0" for count in row] for row in counts]
    cells = [[cell.replace("-", "−") for cell in row] for row in cells]
    figure, axes, bottom = _matrix(counts, cells, classes, foot=3 * LINE + 0.15)
    one, other = map(_middle_cut, names)
    keys = (
        (VERMILION, f"mistakes that {one} makes more often than {other}"),
        (BLUE, "mistakes that it makes less often"),
    )
    for i, (colour, words) in enumerate(keys):
        middle = bottom + 0.2 + i * LINE
        place, fill = (EDGE, middle - 0.06), {"fc": colour, "ec": "none"}
        axes.add_patch(Rectangle(place, 0.12, 0.12, alpha=0.75, **fill))
        _words(axes, words, EDGE + 0.18, middle, above=0.5)
    more = int(np.trace(counts))
    change = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "as many"
    words = f"diagonal: right answers, {change} in all"
    _words(axes, words, EDGE, bottom + 0.2 + 2 * LINE, above=0.5)
    return figure


def svg(figure: Figure) -> str:
    """Return `figure` as SVG text that brings its own ground, light and dark.

    A style sheet inside recolours ink and ground; in an <img> it follows the colour
    scheme of the page. Viewers that ignore it show dark ink on white.
    """
    file = io.StringIO()
    with matplotlib.rc_context(SVG_STYLE):
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


# --- the parts that figures are made of ---------------------------------------


def _tiles(
    cells: Sequence[Sequence[Cell]],
    *,
    captions: Sequence[Sequence[str]] | None = None,
    headers: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
    largest: float = 1.6,
    foot: float = 0,
) -> tuple[Figure, Axes, float]:
    """Lay out rows of square tiles; return figure, axes, and where the tiles end.

    Args:
        cells: rows of pictures, or of words where there is no picture.
        captions: words below each tile.
        headers: words above each column.
        labels: words at the left of each row.
        columns: tiles that have to fit in a row; the longest row when None.
        largest: side of a tile at most, in inches.
        foot: room left below the tiles, in inches.
    """
    columns = columns or max(len(row) for row in cells)
    left = min(0.09 * _longest(labels) + 0.15, 1.5) if labels else 0
    side = min(largest, (WIDTH - left - GAP * (columns - 1)) / columns)
    top = LINE * max(len(header.split("\n")) for header in headers) if headers else 0
    lines = max(len(c.split("\n")) for row in captions for c in row) if captions else 0
    pitch = side + lines * LINE + GAP
    bottom = top + pitch * len(cells) - GAP
    figure, axes = _sheet(WIDTH, bottom + foot)
    for column, header in enumerate(headers or ()):
        _words(axes, header, left + column * (side + GAP), 0)
    for i, row in enumerate(cells):
        y = top + i * pitch
        if labels:
            _words(axes, _cut(labels[i], left - 0.1), 0, y + side / 2, above=0.5)
        for j, cell in enumerate(row):
            x = left + j * (side + GAP)
            if isinstance(cell, str):
                _message(axes, cell, x, y, side, side)
            else:
                _draw(axes, cell, x, y, side)
            if captions:
                _words(axes, _cut(captions[i][j], side + GAP), x, y + side)
    return figure, axes, bottom


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
    figure, axes = _sheet(max(left + side + right, 5 if foot else 0), top + side + foot)
    wrong = counts * ~np.eye(len(classes), dtype=bool)
    shade = np.zeros((*counts.shape, 4))
    shade[..., :3] = np.where((wrong > 0)[..., None], to_rgb(VERMILION), to_rgb(BLUE))
    shade[..., 3] = 0.75 * np.abs(wrong) / max(np.abs(wrong).max(), 1)
    extent = (left, left + side, top + side, top)
    axes.imshow(shade, extent=extent, interpolation="none", aspect="auto")
    faint = {"above": 1, "ha": "right", "alpha": 0.7}
    _words(axes, "predicted →\nactual ↓", left - 0.1, top, **faint)
    slanted = {"rotation": 45, "rotation_mode": "anchor"}
    every = math.ceil(LINE / cell)  # names that would lie on others are left out
    for i, name in list(enumerate(classes))[::every]:
        middle = top + (i + 0.5) * cell
        _words(axes, _cut(name, left), left - 0.1, middle, above=0.5, ha="right")
        _words(axes, _cut(name, left), left + (i + 0.5) * cell, top - 0.2, **slanted)
    if column:
        title, words = column
        _words(axes, title, left + side + right, top, **faint)
        for i, word in list(enumerate(words))[::every]:
            middle = top + (i + 0.5) * cell
            _words(axes, word, left + side + right, middle, above=0.5, ha="right")
    for i in range(len(classes) + 1):
        axes.plot((left, left + side), (top + i * cell,) * 2, **HAIR)
        axes.plot((left + i * cell,) * 2, (top, top + side), **HAIR)
    for (i, j), count in np.ndenumerate(counts if cell >= 0.3 else counts[:0]):
        weight, alpha = "bold" if i == j else "normal", 1 if count else 0.35
        x, y = left + (j + 0.5) * cell, top + (i + 0.5) * cell
        style = {"ha": "center", "weight": weight, "alpha": alpha}
        _words(axes, cells[i][j], x, y, above=0.5, **style)
    return figure, axes, top + side


def _sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure whose axes are measured in inches from the top left corner."""
    figure = Figure(figsize=(width + 2 * EDGE, height + 2 * EDGE), facecolor="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-EDGE, width + EDGE), ylim=(height + EDGE, -EDGE))
    return figure, axes


def _draw(axes: Axes, picture: np.ndarray, x: float, y: float, side: float) -> None:
    """Put a picture on a sheet, its pixels as they are."""
    extent = (x, x + side, y + side, y)
    axes.imshow(picture, extent=extent, interpolation="none", aspect="auto")


def _words(
    axes: Axes, words: str, x: float, y: float, *, above: float = 0, **style: object
) -> None:
    """Write lines on a sheet, on common baselines whatever their letters.

    Args:
        axes: a sheet.
        words: one or more lines.
        x: inches from the left, of the side that `ha` names.
        y: inches from the top.
        above: share of the lines that lies above `y`: 0, 0.5 or 1.
        style: further properties of the text.
    """
    lines = words.split("\n")
    top = y - above * len(lines) * LINE
    for i, line in enumerate(lines):
        baseline = top + (i + 0.77) * LINE
        text = axes.text(x, baseline, line, color=INK, fontsize=TEXT, **style)
        text.set_parse_math(False)


def _message(
    axes: Axes, words: str, x: float, y: float, width: float, height: float
) -> None:
    """Put words in a dashed frame where a picture would have been."""
    dashes = {"ls": (0, (3, 3)), "lw": 0.8, "ec": INK, "alpha": 0.5, "fill": False}
    axes.add_patch(Rectangle((x, y), width, height, clip_on=False, **dashes))
    lines = textwrap.fill(words, max(int(width * 12), 6))
    _words(axes, lines, x + width / 2, y + height / 2, above=0.5, ha="center")


def _numbers(axes: Axes, values: np.ndarray, x: float, y: float, side: float) -> None:
    """Draw one channel as grey squares with the value written in each."""
    _draw(axes, np.repeat(values[..., None], 3, axis=2), x, y, side)
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


def _colour_key(axes: Axes, y: float, opacity: float) -> None:
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
    _words(axes, "least", left - 0.06, y + 0.06, above=0.5, ha="right")
    words = "most evidence; every map has its own scale"
    _words(axes, words, left + width + 0.06, y + 0.06, above=0.5)


def _figure(height: float) -> Figure:
    """Make an empty figure of the usual width that finds its own margins."""
    return Figure(figsize=(WIDTH, height), layout="constrained", facecolor="none")


def _frame(axes: Axes, title: str) -> None:
    """Give axes the house style: title at the left, two thin spines, faint lines."""
    axes.set_title(title, loc="left", color=INK, fontsize=TITLE)
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set(color=INK, alpha=0.5, linewidth=0.8)
    style = {"labelsize": TEXT, "labelcolor": INK, "color": INK, "width": 0.6}
    axes.tick_params(which="both", length=3, **style)
    axes.grid(axis="y", color=INK, alpha=0.12, lw=0.6)
    axes.set_axisbelow(True)


def _log_axis(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers at the decades."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _loss_range(tests: Sequence[Curve]) -> tuple[float, float]:
    """Return limits that show the descent and the beginning of the divergence."""
    lowest = min(min(test.smoothed) for test in tests)
    highest = max(
        max(test.smoothed[: int(np.argmin(test.smoothed)) + 1]) for test in tests
    )
    span = max(highest - lowest, 1e-3)
    return lowest - 0.15 * span, highest + 0.4 * span


def _train_and_validation(
    axes: Axes,
    rows: Sequence[Mapping[str, float]],
    key: str,
    title: str,
    height: float,
) -> None:
    """Plot one quantity of both parts over the epochs."""
    epochs, ends = [row["epoch"] for row in rows], []
    unit, digits = (100, 1) if "%" in title else (1, 2)
    for part, colour in (("train", BLUE), ("validation", VERMILION)):
        values = [unit * row[f"{part}_{key}"] for row in rows]
        axes.plot(epochs, values, "o-", color=colour, lw=1.6, ms=3)
        name = "training" if part == "train" else part
        ends.append((values[-1], f"{name} {values[-1]:.{digits}f}", colour))
    _frame(axes, title)
    _label_ends(axes, ends, height)


def _label_ends(axes: Axes, ends: Sequence[tuple], height: float) -> None:
    """Write names at the right of the curves' ends, moved apart where they collide.

    Args:
        axes: with the curves in it.
        ends: last value, name, colour and, if it is not solid, dash of each curve.
        height: of the axes, in inches.
    """
    low, high = axes.get_ylim()
    apart = (high - low) * TEXT * 1.25 / 72 / height
    ends = sorted(ends, key=lambda end: end[:2])
    places = _apart([end[0] for end in ends], apart, high)
    for place, (_, name, colour, *dash) in zip(places, ends, strict=True):
        key = {"color": colour, "ls": dash[0] if dash else "-", "lw": 1.8}
        still = {"clip_on": False, "scalex": False, "scaley": False}
        ends_at = 1.07 if dash else 1.036  # room to tell a dash from a line
        transform = axes.get_yaxis_transform()
        x, y = (1.012, ends_at), (place, place)
        axes.plot(x, y, transform=transform, **key, **still)
        _beside(axes, place, name, points=28 if dash else 18)


def _apart(values: Sequence[float], gap: float, high: float) -> list[float]:
    """Move ascending values at least `gap` apart, up first, then down from `high`."""
    places: list[float] = []
    for value in values:
        places.append(max(min(value, high), (places or [-np.inf])[-1] + gap))
    for i in reversed(range(len(places))):
        ceiling = high if i == len(places) - 1 else places[i + 1] - gap
        places[i] = min(places[i], ceiling)
    return places


def _beside(axes: Axes, value: float, words: str, *, points: float = 6) -> None:
    """Write at the right edge of the axes, at the height of `value`."""
    edge = {"xy": (1, value), "xycoords": ("axes fraction", "data")}
    _note(axes, words, (points, 0), va="center", **edge)


def _note(axes: Axes, words: str, offset: tuple[float, float], **style: object) -> None:
    """Write `offset` points away from the position that `style` gives."""
    place = {"xytext": offset, "textcoords": "offset points"}
    axes.annotate(words, color=INK, **({"fontsize": TEXT} | place | style))


def _point_out(axes: Axes, test: Curve, suggestions: Mapping[str, float]) -> None:
    """Mark suggestions on the curve, and name them above the axes.

    The leftmost has the highest row, so that no name meets another one's line.
    """
    row = LINE * 1.1 * 72  # points
    ordered = sorted(suggestions.items(), key=lambda item: item[1], reverse=True)
    for i, (name, lr) in enumerate(ordered):
        loss = np.interp(np.log(lr), np.log(test.lrs), test.smoothed)
        axes.plot(lr, loss, "o", color=VERMILION, ms=5, clip_on=False)
        top = ScaledTranslation(0, row * (i + 1) / 72, axes.figure.dpi_scale_trans)
        axes.annotate(
            "",
            xy=(lr, loss),
            xytext=(lr, 1),
            textcoords=("data", axes.transAxes + top),
            arrowprops=HAIR | {"arrowstyle": "-", "alpha": 0.5, "shrinkA": 0},
        )
        above = {"xy": (lr, 1), "xycoords": ("data", "axes fraction")}
        _note(axes, f"{name} {_short(lr)}", (4, row * i + 4), **above)


def _course(values: Sequence[float]) -> str:
    """Write where a curve begins, how far from there it gets, and where it ends."""
    farthest = int(np.argmax(np.abs(np.asarray(values) - values[0])))
    stations = [_short(value) for value in (values[0], values[farthest], values[-1])]
    return " → ".join(station for station, _ in itertools.groupby(stations))


def _colours(count: int) -> list[str]:
    """Return `count` colours, beginning again after the last."""
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def _short(value: float) -> str:
    """Write a number with two digits: 0.021, 2.1e-5."""
    if not 0 < abs(value) < 1e-3:
        return f"{value:.2g}".replace("e+0", "e")
    return f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-")


def _cut(words: str, width: float) -> str:
    """Shorten the lines that would be wider than `width` inches."""
    fits = max(int(width * 72 / (TEXT * 0.58)), 4)
    lines = words.split("\n")
    return "\n".join(
        line if len(line) <= fits else line[: fits - 1] + "…" for line in lines
    )


def _middle_cut(name: str, letters: int = 22) -> str:
    """Shorten a long name in its middle: runs often differ at the end."""
    half = letters // 2
    return name if len(name) <= letters else f"{name[: half - 1]}…{name[-half:]}"


def _longest(words: Sequence[str]) -> int:
    """Return the number of letters in the longest line."""
    return max(len(line) for word in words for line in word.split("\n"))


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


def _check_length(name: str, given: Sequence[object], images: Images) -> None:
    """Ask for as many of something as there are pictures."""
    if len(given) != len(images):
        raise SightlineError(
            f"{len(given)} {name} for {len(images)} pictures: give one for each"
        )


def _size(maps: Images) -> str:
    """Name the height and width of (N, H, W, ...)."""
    return " × ".join(str(side) for side in maps.shape[1:3])


def _pictures(images: Images) -> np.ndarray:
    """Return (N, H, W, 3) uint8, or say what was given instead."""
    pictures = np.asarray(images)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise SightlineError(
            f"pictures of shape {pictures.shape} and type {pictures.dtype}: expected "
            "(N, H, W, 3) uint8; undo the normalisation first"
        )
    return pictures
